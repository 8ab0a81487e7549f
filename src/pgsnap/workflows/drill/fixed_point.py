"""The fixed point of definitions: what PostgreSQL writes of what it wrote itself.

``CHECK (status IN ('a', 'b'))`` on a varchar comes back with other casts, and stays so from then
on. So definitions that are not equal are restored once more, from what they came back as; those
that change again are unstable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from pgsnap.dump.definitions.ddl import ddl_entries
from pgsnap.dump.definitions.entry_filter import LeftOut, leave_out
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import SnapError
from pgsnap.model import Origin, SectionKind, SectionName, SectionStart
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.cleaning import clean_up_whole
from pgsnap.targets.dumptext import understands_restrict, without_unknown_sets
from pgsnap.targets.load.feeder import PSQL_ARGUMENTS, Feeder
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

        try:
            with held.session() as session:
                scratch = create_scratch(
                    session, again, token, origin.properties, snapshot=snapshot
                )
            _load(server, scratch.name, first, encoding, allow_newer)
            second, _ = _definitions(server, scratch.name, origin, allow_newer)
        except BaseException:
            with suppress(SnapError):
                clean_up_whole(drop)
            raise
        clean_up_whole(drop)
    unstable = []
    for kind in _DEFINITIONS:
        before, after = (
            b"".join(data for name, data in parts if name.kind is kind) for parts in (first, second)
        )
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
) -> tuple[list[tuple[SectionName, bytes]], str]:
    """Return the dump of a database's definitions alone, in parts, and its encoding."""
    source = PostgresSource(
        server,
        database=database,
        allow_newer_client=allow_newer,
        with_globals=False,
        dump_options=("--schema-only",),
        only_schemas=origin.only_schemas,
    )
    parts: list[tuple[SectionName, bytes]] = []
    name = SectionName(SectionKind.PREAMBLE)
    try:
        source.open()
        for event in source.events():
            if isinstance(event, SectionStart):
                name = event.name
            elif isinstance(event, bytes):
                parts.append((name, event))
        encoding = source.finish().origin.client_encoding
    except BaseException:
        source.abandon()
        raise
    return parts, encoding


def _load(
    server: Server,
    database: str,
    parts: list[tuple[SectionName, bytes]],
    encoding: str,
    allow_newer: bool,
) -> None:
    psql = server.tool("psql", allow_newer=allow_newer)
    key = fresh_restrict_key() if understands_restrict(psql.version_num) else None
    current: list[SectionName | None] = [None]
    child = server.start_tool(psql, PSQL_ARGUMENTS, database=database, stdin=True)
    try:
        feeder = Feeder(child, restrict_key=key, expected=None)

        def blocks() -> Iterator[bytes]:
            for name, data in parts:
                if name != current[0]:
                    current[0] = name
                    feeder.section_begins(name)
                yield data

        major = server.version_num // 10000
        known = without_unknown_sets(blocks(), lambda: current[0], major)
        feeder.run(
            leave_out(known, lambda: current[0], LeftOut(public=True, dead_rows=True), encoding)
        )
    finally:
        child.kill()
