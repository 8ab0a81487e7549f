"""Checks how logical replication is affected by a restored table: publications and subscribers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.definitions.table_parts import Definitions, TableName, qualified_names, quoted
from pgsnap.model import SnapshotId, quote_ident
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.targets.tables.live import LiveTable
from pgsnap.targets.tables.publications import (
    How,
    Publication,
    publications_of,
    slots_of_subscribers,
)
from pgsnap.workflows.contents.table_names import by_a_copy, shown

_TAKES_ALL = (How.ALL, How.EXCEPTED)


def check_published(
    session: Session,
    snapshot_id: SnapshotId,
    target: TableName,
    live: LiveTable | None,
    kept: TableName | None,
    once: Iterable[str],
    *,
    is_whole: bool,
) -> Findings:
    """Return how publications of the live database treat the table to be called *target*, and the
    one that it replaces, then called *kept*. *once* are the snapshot's statements that add it to
    publications. Publications of a schema or of all tables are reported only for a table that
    *is_whole*, not for each of its partitions."""
    published = publications_of(session, target[0], live.oid if live is not None else None)
    takes_all = [p.name for p in published if p.how in _TAKES_ALL]
    slots = slots_of_subscribers(session) if takes_all else ()
    if slots:
        return Findings((_would_stop(snapshot_id, target, takes_all, slots),))
    told = [
        _told(publication, target, kept)
        for publication in published
        if is_whole or publication.how in (How.LISTED, How.EXCEPTED)
    ]
    now = {publication.name for publication in published if publication.how is How.LISTED}
    told += [f"{name} published {shown(target)} in the snapshot: {statement}"
             for name, statement in _lost(once, now)]  # fmt: skip
    return Findings(warnings=tuple(told))


def published_by(definitions: Definitions, table: TableName) -> tuple[str, ...]:
    """Return the statements of a dump that add *table* to publications."""
    return tuple(
        entry.text
        for entry in definitions.post
        if entry.type == "PUBLICATION TABLE" and qualified_names(entry.text)[:1] == [table]
    )


def _would_stop(
    snapshot_id: SnapshotId, target: TableName, publications: list[str], slots: tuple[str, ...]
) -> Problem:
    """Return the refusal: a subscription stops at a published table that the subscriber lacks."""
    return Problem(
        f"{', '.join(publications)} would publish {shown(target)} while it is made, and the"
        f" subscribers behind {', '.join(slots)} would stop for good: they have no such table",
        detail="All tables are published, also those that one transaction makes and moves.",
        hint=by_a_copy(snapshot_id, target),
    )


def _told(publication: Publication, target: TableName, kept: TableName | None) -> str:
    name = publication.name
    if publication.how is How.LISTED and kept is not None:
        of_it = f" ({publication.columns})" if publication.columns else ""
        of_it += f" WHERE ({publication.rows})" if publication.rows else ""
        return (
            f"the publication {name} will not publish {shown(target)} any more, but"
            f" {shown(kept)}: afterwards run ALTER PUBLICATION {ident(name)} DROP TABLE"
            f" {quoted(kept)}; ALTER PUBLICATION {ident(name)} ADD TABLE {quoted(target)}{of_it};"
        )
    if publication.how is How.EXCEPTED and kept is not None:
        tables = sorted({*publication.excepted, _plain(target), _plain(kept)})
        names = ", ".join(f"TABLE {each}" for each in tables)
        return (
            f"the publication {name}, which leaves {shown(target)} out, will publish the restored"
            f" one: afterwards run ALTER PUBLICATION {ident(name)} SET ALL TABLES EXCEPT ({names});"
        )
    others = f", and {shown(kept)}" if kept is not None else ""
    where = "all tables" if publication.how in _TAKES_ALL else f"all of {quote_ident(target[0])}"
    return (
        f"the publication {name} is of {where}: it will publish {shown(target)}{others} too;"
        " subscribers have not got its rows"
    )


def _plain(table: TableName) -> str:
    return ".".join(map(quote_ident, table))


def _lost(once: Iterable[str], now: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the publications that no longer include the live table, with the statement to add
    it."""
    for statement in once:
        words = statement.removeprefix("ALTER PUBLICATION ").partition(" ADD TABLE ")
        name = words[0][1:-1].replace('""', '"') if words[0].startswith('"') else words[0]
        if name not in now:
            yield name, statement
