"""Rehearses table creation, without rows, in a transaction that is rolled back: what the database
rejects is known before anything is restored, and is reported with the server's own reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import decode
from pgsnap.errors import QueryFailed
from pgsnap.model import SectionKind, Snapshot, SnapshotId, quote_ident
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.targets.dumptext import is_left_out
from pgsnap.targets.tables.script import TableScript
from pgsnap.targets.tables.swap import beside_name, rename_all
from pgsnap.workflows.contents.table_names import by_a_copy, section_text, shown
from pgsnap.workflows.restore_tables.tie_trials import Trial

_UNDEFINED_FUNCTION = "42883"
_NOT_ALLOWED = "42501"
# Errors raised by a function itself.
_RAISED = "P0"
# Insufficient resources, lock timeout, termination from outside, serialization failure.
_BUSY = ("53", "55", "57", "40")
# pg_dump's settings that change what definitions mean, or whether they are accepted. Not the
# encoding: the session has its own.
_SETTING = regex(
    r"^SET (xmloption|check_function_bodies|client_min_messages|row_security|transaction_timeout"
    r"|(?:statement|lock|idle_in_transaction_session)_timeout) = ('?\w+'?);$",
    re.M,
)


class _NotMadeAgain(Exception):
    """*error* is why *trial* failed."""

    def __init__(self, trial: Trial, error: QueryFailed) -> None:
        super().__init__(trial.what)
        self.trial = trial
        self.error = error


def rehearse(
    session: Session,
    script: TableScript,
    settings: str,
    snapshot_id: SnapshotId,
    *,
    makes_views: bool,
    tied: Sequence[Trial] = (),
) -> Findings:
    """Return why the tables of *script* cannot be created, and what else runs when they are.
    Nothing of it persists. *settings* are the dump's own, *makes_views*: dependent views are
    recreated afterwards; *tied* is what else is recreated."""
    triggers = _event_triggers(session)
    problem: Problem | None = None
    try:
        _run(session, script, settings, tied, makes_views=makes_views)
    except QueryFailed as failed:
        error, problem = failed, _not_made(script, failed, snapshot_id, triggers)
    except _NotMadeAgain as again:
        error, problem = again.error, _not_made_again(script, again)
    if problem is not None:
        if triggers and _is_made_without_them(session, script, settings, tied):
            problem = _forbidden(error, triggers)
        return Findings((problem,))
    if not triggers:
        return Findings()
    also = f"event triggers of the database run as tables are made: {', '.join(triggers)}"
    return Findings(warnings=(also,))


def dump_settings(repo: Repository, snapshot: Snapshot, server_major: int) -> str:
    """Return the settings at the beginning of the dump as SET LOCAL, for the rest of a transaction.
    The session keeps its own encoding."""
    text = decode(
        section_text(repo, snapshot, SectionKind.PREAMBLE), snapshot.origin.client_encoding
    )
    return "SET LOCAL standard_conforming_strings = on;\n" + "".join(
        f"SET LOCAL {found[1]} = {found[2]};\n"
        for found in _SETTING.finditer(text)
        if not is_left_out(found[0].encode("utf-8", "surrogateescape"), server_major)
    )


def check_writing_triggers(session: Session, table: TableName) -> list[Problem]:
    """Return the event triggers whose function names *table*: they fire while it is replaced, when
    no table has its name, or the one that has it is not complete yet."""
    word = r"(?<![\w$])" + re.escape(table[1]) + r"(?![\w$])"
    found = session.query(
        "SELECT e.evtname, p.oid::pg_catalog.regprocedure::text,"
        " p.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '')"
        " FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid"
        " WHERE e.evtenabled <> 'D'"
        " AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop') ORDER BY 1"
    )
    return [
        Problem(
            f"the event trigger {name}, whose function {function} names {shown(table)}, runs while"
            " that is replaced",
            detail="In between nothing has its name: the function would fail, or write elsewhere.",
            hint="Where it may be off meanwhile:"
            f" ALTER EVENT TRIGGER {ident(name or '')} DISABLE; and afterwards ENABLE again.",
        )
        for name, function, body in found
        if re.search(word, body or "")
    ]


def _run(
    session: Session,
    script: TableScript,
    settings: str,
    tied: Sequence[Trial],
    *,
    makes_views: bool,
) -> None:
    """Run all of *script* and roll it back. Raises QueryFailed, or _NotMadeAgain for the part of
    *tied* that cannot be recreated on it."""
    session.execute("".join((*script.before_rows(settings), *script.after_rows())))
    for trial in tied:
        try:
            session.execute(trial.sql)
        except QueryFailed as error:
            raise _NotMadeAgain(trial, error) from error
    session.execute("".join(_later(script, makes_views=makes_views)))
    session.execute("ROLLBACK")


def _later(script: TableScript, *, makes_views: bool) -> Iterator[str]:
    """Yield the kinds of statements that the swap runs, on the new tables, and the final check."""
    names = [script.names[parts.table] for parts in script.parts]
    taken = set(names)
    pairs = []
    for name in names:
        pairs.append((name, beside_name(name, "snap", taken)))
        taken.add(pairs[-1][1])
    yield rename_all(pairs, "__snap", script.tag)
    spare = ident(f"snap_{script.tag}_0")
    yield f"CREATE SCHEMA {spare};\n"
    if makes_views:
        yield f"CREATE OR REPLACE VIEW {spare}.snap AS SELECT 1 AS one;\n"
    yield f"DROP SCHEMA {spare} CASCADE;\n"
    yield script.proof_of_rights()


def _event_triggers(session: Session) -> tuple[str, ...]:
    """Return the event triggers that may fire when tables are created and moved."""
    rows = session.query(
        "SELECT evtname FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'"
        " AND evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop') ORDER BY 1"
    )
    return tuple(name for (name,) in rows if name is not None)


def _is_made_without_them(
    session: Session, script: TableScript, settings: str, tied: Sequence[Trial]
) -> bool:
    """Return whether the tables can be created with event triggers disabled, as far as our role may
    disable them."""
    if session.server_version_num >= 170000:
        off = "SET LOCAL event_triggers = off;\n"
    else:
        off = "SET LOCAL session_replication_role = replica;\n"
    try:
        _run(session, script, off + settings, tied, makes_views=True)
    except (QueryFailed, _NotMadeAgain):
        return False
    return True


def _forbidden(error: QueryFailed, triggers: tuple[str, ...]) -> Problem:
    switch = [f"ALTER EVENT TRIGGER {ident(name)}" for name in triggers]
    return Problem(
        f"an event trigger of the database forbids it: {error.message}",
        detail=f"Without its event triggers ({', '.join(triggers)}) the tables could be made.",
        hint="Where it may be off meanwhile: "
        + " ".join(f"{words} DISABLE;" for words in switch)
        + " and afterwards ENABLE again.",
    )


def _not_made(
    script: TableScript, error: QueryFailed, snapshot_id: SnapshotId, triggers: tuple[str, ...]
) -> Problem:
    """Return the server's reason, with the table names of the dump."""
    names = [parts.table for parts in script.parts]
    message, detail = (_by_true_names(script, text) for text in (error.message, error.detail))
    if error.sqlstate == _UNDEFINED_FUNCTION and message != error.message:
        detail = (
            "A check, default, index or policy of it takes the table's own row type, and the"
            f" function is for the rows of the one that is there. {detail}"
        ).strip()
    elif error.sqlstate[:2] == _RAISED and triggers:
        detail = f"One of its event triggers may say so: {', '.join(triggers)}. {detail}".strip()
    which = shown(names[0]) if len(names) == 1 else f"{shown(names[0])} and the tables with it"
    return Problem(
        f"{which} cannot be made in this database: {message}",
        detail=detail,
        hint=_hint(error, snapshot_id, names[0]),
    )


def _not_made_again(script: TableScript, failed: _NotMadeAgain) -> Problem:
    trial, error = failed.trial, failed.error
    message, detail = (_by_true_names(script, text) for text in (error.message, error.detail))
    return Problem(f"{trial.what} cannot be made again: {message}", detail=detail, hint=trial.hint)


def _hint(error: QueryFailed, snapshot_id: SnapshotId, table: TableName) -> str:
    """Return the hint, which may be that of the function that raised the error."""
    if error.sqlstate[:2] == _RAISED and error.hint:
        return error.hint
    if error.sqlstate == _NOT_ALLOWED:
        return "Connect as a superuser, or as a member of those who own the table and grant on it."
    if error.sqlstate[:2] in _BUSY:
        return "Try again when the server has what it lacks now."
    return by_a_copy(snapshot_id, table)


def _by_true_names(script: TableScript, text: str) -> str:
    for schema, made_in in script.staging.items():
        text = text.replace(made_in, quote_ident(schema))
    return text
