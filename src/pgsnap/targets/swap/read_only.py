"""Prevents new sessions of the live database from writing during a restore.

This uses the database's own default_transaction_read_only. It belongs to the database's OID, so the
restored database never has it; the swap itself resets it for the replaced one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pgsnap import interrupts
from pgsnap.errors import Interrupted, RestoreFailed, SnapError
from pgsnap.model import DatabaseProperties, Setting
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import Findings, LiveDatabase
from pgsnap.targets.swap.held import Sessions
from pgsnap.values import dataclass

SETTING = "default_transaction_read_only"
_ON = "on"


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """A database to be made read-only for a while. *before* is the present value of its setting, as
    text; None: not set."""

    database: str
    oid: int
    before: str | None

    def taken_back(self, name: str) -> str:
        """Return the statement that restores the previous setting of the database, now called
        *name*."""
        whose = f"ALTER DATABASE {ident(name)}"
        if self.before is None:
            return f"{whose} RESET {SETTING}"
        return f"{whose} SET {SETTING} TO {literal(self.before)}"

    def left_out(self, properties: DatabaseProperties) -> DatabaseProperties:
        """Return *properties*, read while it was in force, without it."""
        settings = []
        for setting in properties.settings:
            if setting.role is not None or setting.name != SETTING:
                settings.append(setting)
            elif self.before is not None:
                settings.append(Setting(SETTING, self.before))
        return replace(properties, settings=tuple(settings))


def plan_read_only(session: Session, live: LiveDatabase) -> ReadOnly | None:
    """Return the change to make to *live*; None if it is already read-only."""
    before = _setting(session, live.oid)
    return None if _is_on(session, before) else ReadOnly(live.name, live.oid, before)


def is_read_only(session: Session, database: LiveDatabase) -> bool:
    """Return whether new sessions of a database are read-only by the database's own setting."""
    return _is_on(session, _setting(session, database.oid))


def check_read_only(session: Session, database: LiveDatabase) -> Findings:
    """Warn of a database that is read-only now, as a killed restore leaves it."""
    if not is_read_only(session, database):
        return Findings()
    name = database.name
    return Findings(
        warnings=(
            f"new sessions of the database {name} can only read, by a setting of its own: a"
            " restore --read-only that was killed leaves it so. To let them write:"
            f" ALTER DATABASE {ident(name)} RESET {SETTING};",
        )
    )


@contextmanager
def read_only_meanwhile(connect: Sessions, wanted: ReadOnly | None) -> Iterator[ReadOnly | None]:
    """Make new sessions of a database read-only until the block fails; if it succeeds, the swap in
    it has reset that (`ReadOnly.taken_back`).

    Raises RestoreFailed if the setting changed since the plan. An error raised in the block says so
    if the setting could not be reset.
    """
    if wanted is None:
        yield None
        return
    with connect() as session:
        if _setting(session, wanted.oid) != wanted.before:
            raise RestoreFailed(
                f"the settings of {wanted.database} are not what they were when the plan was made",
                detail=f"Somebody changed {SETTING}. Nothing was changed by this restore.",
                hint="Run the restore again.",
            )
    try:
        with connect() as session:
            session.execute(f"ALTER DATABASE {ident(wanted.database)} SET {SETTING} TO '{_ON}'")
        yield wanted
    except BaseException as error:
        with interrupts.deferred():
            _take_back(connect, wanted, error)
        raise


def _take_back(connect: Sessions, wanted: ReadOnly, reason: BaseException) -> None:
    try:
        with connect() as session:
            # By its OID: it may already be renamed, with its setting reset.
            rows = session.query(
                f"SELECT datname FROM pg_catalog.pg_database WHERE oid = {wanted.oid}"
            )
            if rows and rows[0][0] is not None and _setting(session, wanted.oid) == _ON:
                session.execute(wanted.taken_back(rows[0][0]))
    except SnapError as error:
        advice = (
            f"New sessions of {wanted.database} can only read still; once the server can be"
            f" reached: {wanted.taken_back(wanted.database)};"
        )
        if isinstance(reason, SnapError):
            reason.hint = f"{reason.hint} {advice}".strip()
        elif isinstance(reason, KeyboardInterrupt):
            raise Interrupted("interrupted", hint=advice) from error


def _setting(session: Session, oid: int) -> str | None:
    rows = session.query(
        "SELECT pg_catalog.substr(item, pg_catalog.strpos(item, '=') + 1)"
        " FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) AS item"
        f" WHERE s.setdatabase = {oid} AND s.setrole = 0"
        f" AND pg_catalog.starts_with(item, '{SETTING}=')"
    )
    return rows[0][0] if rows else None


def _is_on(session: Session, value: str | None) -> bool:
    # The server decides what means true: on, true, yes, 1 and their prefixes.
    return value is not None and session.query(f"SELECT {literal(value)}::bool") == [("t",)]
