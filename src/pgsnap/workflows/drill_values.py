"""Do the restored values hold what the live ones do, beyond what they print?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.sessions.server import Server
from pgsnap.targets.exact_values import Digest, TypedColumn, digests, print_exactly, typed_columns
from pgsnap.words import some
from pgsnap.workflows.drill_report import Outcome, failed


@dataclass(frozen=True, slots=True)
class ValueFindings:
    """Columns of extensions' types. *rounded*: the restored values are others than the live ones,
    though they print the same. *inexact*: what live values print does not give them again, byte by
    byte. *unknown*: nothing is known but what they print."""

    rounded: tuple[TypedColumn, ...] = ()
    inexact: tuple[TypedColumn, ...] = ()
    unknown: tuple[TypedColumn, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        told = []
        if self.inexact:
            told.append(
                "not proven: values that are not the same, byte by byte, once they are read back"
                " from what they print; they may print less than they hold:"
                f" {some([str(column) for column in self.inexact])}"
            )
        if self.unknown:
            told.append(
                "not proven beyond what they print: values of extensions' types, in"
                f" {some([str(column) for column in self.unknown])}"
            )
        return tuple(told)

    def outcome(self) -> Outcome:
        """Return the check of the contents where values are *rounded*."""
        return failed(
            "values print less than they hold, so no dump has them:"
            f" {some([str(column) for column in self.rounded])}",
            *[f"{column}: the restored values are others than the live ones, though both print the"
              " same" for column in self.rounded],
            hint="Keep what such values are made of in columns of PostgreSQL's own types"
            " (docs/extensions.md).",
        )  # fmt: skip


def compare_values(server: Server, copy: str, live: str | None) -> ValueFindings:
    """Compare the columns of extensions' types in the database *copy* with those of *live*. Where
    these have changed since, or have no binary form, it is asked whether they print all that they
    hold. Raises ConnectionFailed, QueryFailed."""
    with server.connect(copy) as session:
        columns = typed_columns(session)
        if not columns:
            return ValueFindings()
        restored = digests(session, columns)
    there: dict[TypedColumn, Digest] = {}
    exact: dict[TypedColumn, bool] = {}
    if live is not None:
        # Without it nothing is known, which is told.
        with suppress(ConnectionFailed, QueryFailed), server.connect(live) as session:
            known = set(typed_columns(session))
            asked = [column for column in columns if column in known]
            there = digests(session, asked)
            doubtful = [c for c in asked if not _is_same(restored.get(c), there.get(c))]
            exact = print_exactly(session, doubtful)
    rounded: list[TypedColumn] = []
    inexact: list[TypedColumn] = []
    unknown: list[TypedColumn] = []
    for column in columns:
        ours, theirs = restored.get(column), there.get(column)
        if _is_same(ours, theirs):
            continue
        if ours is not None and theirs is not None and ours.printed == theirs.printed:
            rounded.append(column)
        elif not exact.get(column, False):
            (inexact if column in exact else unknown).append(column)
    return ValueFindings(tuple(rounded), tuple(inexact), tuple(unknown))


def _is_same(ours: Digest | None, theirs: Digest | None) -> bool:
    return ours is not None and ours == theirs
