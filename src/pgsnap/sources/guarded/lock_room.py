"""Checks whether the server's lock table is large enough: pg_dump locks every table at once."""

from __future__ import annotations

from pgsnap.sessions.base import Session
from pgsnap.values import dataclass

_TABLES = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
# The manual's "Resource Consumption": this many locks for each possible connection or prepared
# transaction. Autovacuum is counted by its slots since 18.
_SETTINGS = """
SELECT sum(s.setting::bigint) FILTER (WHERE s.name = 'max_locks_per_transaction'),
       sum(s.setting::bigint) FILTER (WHERE s.name <> 'max_locks_per_transaction')
FROM pg_settings s
WHERE s.name IN ('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions',
                 'max_wal_senders', 'max_worker_processes', '{autovacuum}')
"""
# Up to 18 the lock table can also grow into unused shared memory: by two thirds and more, measured
# on 14 to 18 with 20 to 200 connections. Since 19 it has exactly the configured size.
_FIXED_SINCE = 190000
_GROWTH_PERCENT = 150
# Other sessions hold locks too.
_OTHERS_PERCENT = 80
_STEP = 64


@dataclass(frozen=True, slots=True)
class LockRoom:
    """How many *tables* a dump locks, how many *locks* certainly fit, and the
    *max_locks_per_transaction* that would fit twice the tables."""

    tables: int
    locks: int
    advised: int

    @property
    def is_short(self) -> bool:
        return self.is_short_for(1)

    def is_short_for(self, times: int) -> bool:
        """Return whether there may be no room to lock all tables *times* times."""
        return self.sets_that_fit < times

    @property
    def sets_that_fit(self) -> int:
        """How many sessions can lock all tables at once, and still leave room for others."""
        return self.locks * _OTHERS_PERCENT // (100 * max(1, self.tables))


def lock_room(session: Session) -> LockRoom:
    """Return that of the session's database and its server. Raises QueryFailed,
    ConnectionFailed."""
    version = session.server_version_num
    autovacuum = "autovacuum_worker_slots" if version >= 180000 else "autovacuum_max_workers"
    tables = int(session.query(_TABLES)[0][0] or 0)
    each, owners = (
        int(value or 0) for value in session.query(_SETTINGS.format(autovacuum=autovacuum))[0]
    )
    percent = 100 if version >= _FIXED_SINCE else _GROWTH_PERCENT
    advised = -(-2 * tables // max(1, owners * _STEP)) * _STEP
    return LockRoom(tables, each * owners * percent // 100, advised)
