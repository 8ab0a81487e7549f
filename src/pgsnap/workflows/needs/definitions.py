"""Checks a snapshot's definitions: who may create them, and what changes when they are restored.

Changes nothing on the server: whether we may create event triggers is tried and rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pgsnap.dump.definitions.drawing import GENERATED, DrawnColumn, drawn_columns
from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.entries import decode
from pgsnap.dump.events import occurs
from pgsnap.errors import QueryFailed
from pgsnap.model import SectionKind, Snapshot
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem
from pgsnap.values import dataclass
from pgsnap.words import some

# From this version on, a role needs no superuser rights to create subscriptions.
_SUBSCRIBERS_SINCE = 160000
_NO_RIGHT = "42501"


@dataclass(frozen=True, slots=True)
class Definitions:
    """Names of definitions that need care in a restore. *keep_dead_rows* are the subscriptions that
    make a server retain deleted rows."""

    event_triggers: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    keep_dead_rows: tuple[str, ...] = ()


def read_definitions(repo: Repository, snapshot: Snapshot) -> Definitions:
    """Return what the post-data definitions of *snapshot* contain. Raises CorruptionError."""
    encoding = snapshot.origin.client_encoding
    triggers: list[str] = []
    subscriptions: list[str] = []
    keepers: list[str] = []
    for entry, text in entries(text_of_kinds(repo, snapshot, SectionKind.POST_DATA)):
        if entry.type == b"EVENT TRIGGER":
            triggers.append(decode(entry.name, encoding))
        elif entry.type == b"SUBSCRIPTION":
            subscriptions.append(decode(entry.name, encoding))
            if b", retain_dead_tuples = true" in text:
                keepers.append(subscriptions[-1])
    return Definitions(tuple(triggers), tuple(subscriptions), tuple(keepers))


def check_definitions(
    session: Session, me: ConnectedRole, snapshot: Snapshot, repo: Repository, *, scratch: bool
) -> Findings:
    """Return what prevents creating the definitions of *snapshot*, and what will differ afterwards;
    in a *scratch* database nobody sees the difference. Raises CorruptionError."""
    if not snapshot.origin.is_pg_dump:
        return Findings()
    found = read_definitions(repo, snapshot)
    findings = _check_drawn(_read_drawn(repo, snapshot))
    findings += _check_event_triggers(session, me, found.event_triggers)
    findings += _check_subscribers(session, me, found.subscriptions)
    if found.subscriptions and not scratch:
        findings += Findings(
            warnings=(
                f"subscriptions come back disabled: {some(found.subscriptions)}; when nothing else"
                " reads from their slots, in the restored database:"
                f" ALTER SUBSCRIPTION {ident(found.subscriptions[0])} ENABLE;",
            )
        )
    if found.keep_dead_rows and not scratch:
        findings += Findings(
            warnings=(
                "until they are enabled or dropped, the server keeps all deleted rows (its slot"
                f" pg_conflict_detection) for the subscriptions {some(found.keep_dead_rows)}",
            )
        )
    return findings


def _read_drawn(repo: Repository, snapshot: Snapshot) -> tuple[DrawnColumn, ...]:
    blocks = partial(text_of_kinds, repo, snapshot, SectionKind.PRE_DATA)
    # Most dumps have no such columns.
    if not occurs(lambda text: GENERATED in text, blocks(), len(GENERATED)):
        return ()
    return drawn_columns(entries(blocks()), snapshot.origin.client_encoding)


def _check_drawn(columns: Sequence[DrawnColumn]) -> Findings:
    """Return which of *columns* make a load fail, and which may get different values."""
    later = {c.column: c for c in columns if c.later}
    problems = tuple(
        Problem(
            f"the generated column {name} cannot be made again",
            detail=f"It calls {each.function}, which draws from the sequence {each.later}, and the"
            " dump makes that one later than the table: psql fails on it, too.",
            hint="In the source database let a trigger or a default draw the number, then commit"
            " again. To load this one by hand: snap cat REV, with the sequence made before the"
            " table.",
        )
        for name, each in later.items()
    )
    others: dict[str, list[str]] = {}
    for each in columns:
        if each.column not in later:
            others.setdefault(each.function, []).append(each.column)
    return Findings(
        problems,
        tuple(
            f"the generated column {some(names)} calls {function}, whose body draws from a"
            " sequence, or calls what does: it may get other values than it had, or the load fails"
            for function, names in others.items()
        ),
    )


def _check_event_triggers(session: Session, me: ConnectedRole, names: Sequence[str]) -> Findings:
    """Some managed services let roles without superuser rights create them, so this is tried."""
    if not names or me.is_superuser:
        return Findings()
    if not session.query(
        "SELECT 1 WHERE pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMP')"
        " AND EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')"
    ):
        return Findings()
    try:
        session.execute(
            "BEGIN; CREATE FUNCTION pg_temp.snap_probe() RETURNS event_trigger LANGUAGE plpgsql"
            " AS 'BEGIN END'; CREATE EVENT TRIGGER snap_probe ON sql_drop"
            " EXECUTE FUNCTION pg_temp.snap_probe(); ROLLBACK"
        )
    except QueryFailed as error:
        if error.sqlstate != _NO_RIGHT:
            return Findings()
        return Findings(
            (
                Problem(
                    f"the role {me.name} may not make event triggers: {some(names)}",
                    detail=f"{error.message}. {error.hint}".strip(),
                    hint="Connect as a superuser.",
                ),
            )
        )
    return Findings()


def _check_subscribers(session: Session, me: ConnectedRole, names: Sequence[str]) -> Findings:
    if not names or me.is_superuser:
        return Findings()
    message = f"the role {me.name} may not make subscriptions: {some(names)}"
    if session.server_version_num < _SUBSCRIBERS_SINCE:
        return Findings((Problem(message, hint="Connect as a superuser."),))
    if session.query("SELECT 1 WHERE pg_catalog.pg_has_role('pg_create_subscription', 'USAGE')"):
        return Findings()
    grant = f"As a superuser: GRANT pg_create_subscription TO {ident(me.name)};"
    return Findings((Problem(message, hint=grant),))
