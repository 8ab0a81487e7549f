"""The fixed point of definitions: what PostgreSQL writes of what it wrote itself.

``CHECK (status IN ('a', 'b'))`` on a varchar comes back with other casts, and stays so from then
on. So definitions that are not equal are restored once more, from what they came back as; those
that change again are unstable.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from pgsnap import interrupts
from pgsnap.dump.definitions.ddl import ddl_entries
from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.events import text_of_kind
from pgsnap.errors import SnapError
from pgsnap.model import DumpEvent, Origin, SectionKind
from pgsnap.sessions.server import Server
from pgsnap.sources.base import dump_events, reading
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.feeder import psql_feeder
from pgsnap.targets.naming import application_name, scratch_name
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.held import HeldSession
from pgsnap.targets.swap.scratch import create_scratch

_DEFINITIONS = (SectionKind.PRE_DATA, SectionKind.POST_DATA)


def unstable_definitions(
    server: Server,
    database: str,
    token: str,
    origin: Origin,
    *,
    snapshot: str,
    allow_newer: bool,
) -> list[str]:
    """Return the titles of the definitions of *database*, which was restored from a snapshot of
    *origin*, that are others once restored and dumped again.

    A second scratch database is made for it and dropped; a session with *token*'s name keeps it
    from being taken for a leftover. Raises what a dump and a load do.
    """
    first, encoding = _definitions(server, database, origin, allow_newer)
    connect = partial(server.connect, server.maintenance_database(), application_name(token))
    with HeldSession(connect) as held:
        again = f"again_{database}"

        def drop() -> None:
            with held.session() as session:
                drop_subscriptions(session, server.connect, scratch_name(again, token))
                drop_database(session, scratch_name(again, token), watch=connect)

        def drop_if_there() -> None:
            with suppress(SnapError):
                drop()

        with interrupts.undone_by(drop_if_there):
            with held.session() as session:
                scratch = create_scratch(
                    session, again, token, origin.properties, snapshot=snapshot
                )
            psql = server.tool("psql", allow_newer=allow_newer)
            events = without_unknown_sets(first, server.version_num // 10000)
            events = leave_out(events, LeftOut(public=True, dead_rows=True), encoding)
            with psql_feeder(server, psql, scratch.name, token, expected=None) as feeder:
                feeder.run(events)
            second, _ = _definitions(server, scratch.name, origin, allow_newer)
        with interrupts.deferred():
            drop()
    unstable = []
    for kind in _DEFINITIONS:
        before, after = (b"".join(text_of_kind(events, kind)) for events in (first, second))
        if before == after:
            continue
        old, new = ddl_entries(before, encoding), ddl_entries(after, encoding)
        for key in dict.fromkeys([*old, *new]):
            one, other = old.get(key), new.get(key)
            if one is None or other is None or one.text != other.text:
                entry = one or other
                assert entry is not None
                unstable.append(entry.title)
    return unstable


def _definitions(
    server: Server, database: str, origin: Origin, allow_newer: bool
) -> tuple[list[DumpEvent], str]:
    """Return the dump of a database's definitions alone, and its encoding."""
    source = PostgresSource(
        server,
        database=database,
        allow_newer_client=allow_newer,
        with_globals=False,
        dump_options=("--schema-only",),
        only_schemas=origin.only_schemas,
    )
    with reading(source):
        return list(dump_events(source)), source.finish().origin.client_encoding
