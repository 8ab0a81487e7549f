"""A live database as a source, through pg_dump and pg_dumpall."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pgsnap import interrupts
from pgsnap.dump.definitions.extension_sequences import sequences_text
from pgsnap.errors import (
    ConnectionFailed,
    DumpIncomplete,
    Interrupted,
    QueryFailed,
    SnapError,
    SourceError,
)
from pgsnap.limits import LOCK_WAIT_TIMEOUT_SECONDS
from pgsnap.model import (
    DatabaseProperties,
    DumpEvent,
    ExtensionMember,
    Origin,
    Reading,
    ReadMode,
    SectionEnd,
    SectionKept,
    SectionKind,
    SectionName,
    SectionStart,
    SourceEvent,
    SourceKind,
    VolatileLine,
)
from pgsnap.model.baseline import Baseline
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.obstacles import explain
from pgsnap.sessions.server import Server
from pgsnap.sources.bare_names import bare_names
from pgsnap.sources.base import SourceResult
from pgsnap.sources.extensions import Members, read_members, read_sequences
from pgsnap.sources.former import Former, FormerOf
from pgsnap.sources.globals_dump import GlobalsDump
from pgsnap.sources.guarded.dump import GuardedDump
from pgsnap.sources.guarded.hindrances import find_hindrances
from pgsnap.sources.parts import part_options
from pgsnap.sources.properties import read_properties, read_server

if TYPE_CHECKING:
    # Thirty modules, which a dump that pg_dump alone reads does without.
    from pgsnap.sources.direct.since import DumpSince

_Dump: TypeAlias = "GuardedDump | DumpSince"

# A role may have one connection only, and the one before may take a moment to be gone.
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4)
_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


class PostgresSource:
    """Dumps one database of *server* (None: the endpoint's). `Source` is its contract.

    *adjust*, where given, makes of the database's properties what is recorded of them.
    *exclude_table_data* and *only_schemas* are patterns as pg_dump takes them; they are recorded.
    Rows are read over *jobs* connections (None: by pg_dump), such that a later source can read only
    what changed since; for that the server may have to make checkpoints (*may_checkpoint*).
    *warnings* holds what pg_dump wrote to standard error although it succeeded, *doubts* what of
    the database no restore can make, as far as that is known.
    """

    def __init__(
        self,
        server: Server,
        *,
        database: str | None = None,
        lock_wait_timeout_seconds: float = LOCK_WAIT_TIMEOUT_SECONDS,
        allow_newer_client: bool = False,
        with_globals: bool = True,
        dump_options: tuple[str, ...] = (),
        exclude_table_data: tuple[str, ...] = (),
        only_schemas: tuple[str, ...] = (),
        adjust: Callable[[DatabaseProperties], DatabaseProperties] | None = None,
        jobs: int | None = None,
        may_checkpoint: bool = True,
    ) -> None:
        self._server = server
        self._endpoint = (
            server.endpoint if database is None else server.endpoint.with_database(database)
        )
        self._database = self._endpoint.database
        self._lock_wait_seconds = lock_wait_timeout_seconds
        self._allow_newer = allow_newer_client
        self._with_globals = with_globals
        # A part of a database is dumped without its extensions.
        self._is_part = bool(dump_options or only_schemas)
        self._has_member_sequences = False
        self._locked_sequences: tuple[ExtensionMember, ...] = ()
        self._dump_options = (*dump_options, *part_options(exclude_table_data, only_schemas))
        self._excluded = exclude_table_data
        self._schemas = only_schemas
        self._adjust = adjust
        # The name by which pg_dumpall's backend is found again when its client was killed.
        self._application = f"snap pg_dumpall {os.urandom(8).hex()}"
        self._abandoned = False
        self._origin: Origin | None = None
        self._jobs = jobs
        self._may_checkpoint = may_checkpoint
        self._former: Former | None = None
        self._dump: _Dump | None = None
        self._is_superuser = False
        self._globals_dump: GlobalsDump | None = None
        self._globals_volatile: tuple[VolatileLine, ...] = ()
        self._globals_status = "none"
        self._complete = False
        self.warnings: tuple[str, ...] = ()
        self.doubts: tuple[str, ...] = ()

    def open(self, former_of: FormerOf | None = None) -> Origin:
        """Raises ConnectionFailed, ToolMissing, ToolVersion, QueryFailed."""
        # A trigger on login may write into what we read, or refuse us.
        self._server = self._server.without_event_triggers()
        session = self._connect()
        with interrupts.undone_by(session.close):
            self._open(session, former_of)
        assert self._origin is not None
        return self._origin

    def _open(self, session: Session, former_of: FormerOf | None) -> None:
        info = read_server(session)
        properties = read_properties(session)
        if self._adjust is not None:
            properties = self._adjust(properties)
        self._is_superuser = session.query(_IS_SUPERUSER)[0][0] == "t"
        members = Members() if self._is_part else read_members(session)
        self._has_member_sequences = members.have_sequences
        if not self._is_part:
            with contextlib.suppress(QueryFailed):
                found = bare_names(session)
                self.doubts = tuple(f"{name.text}. {name.way_out}" for name in found)
            # A backup is never refused for what only a restore will miss.
            with contextlib.suppress(QueryFailed):
                self.doubts += tuple(f"{h.text}. {h.way}" for h in find_hindrances(session))
        tool = self._server.tool("pg_dump", allow_newer=self._allow_newer)
        self._origin = Origin(
            kind=SourceKind.POSTGRES,
            tool=tool.version_line,
            server=info,
            properties=properties,
            host=self._place(self._endpoint.host),
            excluded_table_data=self._excluded,
            only_schemas=self._schemas,
            extension_members=members.left_out,
        )
        if self._jobs is not None and former_of is not None:
            self._former = former_of(self._origin)
        self._dump = self._make_dump(tool, properties.encoding)
        # It locks and asks for a while before its first byte: time for the caller to get ready.
        self._dump.begin(session)

    def events(self) -> Iterator[SourceEvent]:
        """Raises DumpFailed, DumpIncomplete, ConnectionFailed, UnusableInput, TablesChanged,
        Interrupted."""
        assert self._dump is not None, "open comes first"
        assert self._origin is not None
        self._complete = False
        events = self._dump.events()
        # pg_dump has its connection by then, where a role may have only one.
        yield from islice(events, 1)
        kept = self._kept_globals()
        globals_dump = self._begin_globals() if kept is None else None
        yield from events
        if not self._is_part:
            yield from self._extension_sequences(self._dump, self._origin)
        if kept is not None:
            yield kept
        if globals_dump is not None:
            yield from self._globals_events(globals_dump)
        self._complete = True

    def finish(self) -> SourceResult:
        if self._abandoned:
            raise Interrupted("the dump was stopped")
        dump, origin = self._dump, self._origin
        summary = dump.summary if self._complete and dump is not None else None
        if dump is None or summary is None or origin is None:
            raise DumpIncomplete("the dump was not read to its end")
        if not summary.is_pg_dump:
            # Then no end mark was asked for, and a wrapper's exit status alone proves nothing.
            raise DumpIncomplete(
                "what pg_dump wrote does not begin as a dump",
                detail="Its first lines should say: PostgreSQL database dump.",
                hint="If pg_dump is a script of your own, let it write nothing else to its output.",
            )
        dump.finish()
        self.warnings = dump.warnings
        volatile = summary.volatile + self._globals_volatile
        origin = replace(
            origin,
            is_pg_dump=summary.is_pg_dump,
            dump_version=summary.dump_version,
            dumped_from=summary.dumped_from,
            owners=summary.owners,
            client_encoding=summary.client_encoding,
            has_meta_commands=summary.has_meta_commands,
            globals_status=self._globals_status,
            extension_members=(*origin.extension_members, *self._locked_sequences),
        )
        return SourceResult(origin, volatile, *_as_read(dump))

    def distrust(self) -> None:
        self._former = None
        assert self._dump is not None
        assert not isinstance(self._dump, GuardedDump)
        self._dump.distrust()

    def abandon(self) -> None:
        self._abandoned = True
        if self._dump is not None:
            self._dump.stop()
        if self._globals_dump is not None and self._globals_dump.abandon():
            # As with pg_dump: its backend must not go on.
            with contextlib.suppress(SnapError):
                self._server.terminate(self._application)

    def _make_dump(self, tool: Tool, encoding: str) -> _Dump:
        place = (self._server, self._database, tool, self._arguments(encoding))
        is_part = self._is_part or bool(self._excluded)
        wait = self._lock_wait_seconds
        if self._jobs is None or is_part:
            return GuardedDump(*place, lock_wait_seconds=wait, leaves_out_rows=bool(self._excluded))
        from pgsnap.sources.direct.since import DumpSince

        return DumpSince(
            *place,
            jobs=self._jobs,
            encoding=encoding,
            lock_wait_seconds=wait,
            former=self._former,
            may_checkpoint=self._may_checkpoint,
        )

    @property
    def streamed_because(self) -> str:
        """Why pg_dump reads the rows although *jobs* connections were to read them, else ""."""
        if isinstance(self._dump, GuardedDump):
            return "a part of the database is dumped" if self._jobs is not None else ""
        return self._dump.reason if self._dump is not None else ""

    def _connect(self) -> Session:
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return self._server.connect(self._database)
            except ConnectionFailed as error:
                if not self._server.has_let_us_in:
                    # Some servers lock a role out for a few wrong passwords.
                    raise
                if pause is None:
                    explain(error, self._server, self._database)
                    raise
            interrupts.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _place(self, host: str) -> str:
        """Return where the database was, for whoever reads the snapshot later."""
        if host and not host.startswith("/"):
            return host
        inside = f"{self._endpoint.place} on " if self._endpoint.place else ""
        return inside + socket.gethostname()

    def dump_key(self, encoding: str) -> str:
        """Return what the definitions in a dump depend on besides the database, whose *encoding* is
        given. Raises ToolMissing, ToolVersion, ConnectionFailed."""
        from pgsnap.sources.direct.tables import dump_key

        tool = self._server.tool("pg_dump", allow_newer=self._allow_newer)
        return dump_key(tool, self._arguments(encoding))

    def _arguments(self, encoding: str) -> list[str]:
        return [
            "--format=plain",
            "--no-password",
            # Its own encoding, also where the role or the database sets another for clients.
            f"--encoding={encoding}",
            f"--lock-wait-timeout={max(1, round(self._lock_wait_seconds * 1000))}",
            *self._dump_options,
        ]

    # -- extensions ----------------------------------------------------------------------------

    def _extension_sequences(self, dump: _Dump, origin: Origin) -> Iterator[DumpEvent]:
        """Yield the section of those that pg_dump leaves out, where there are any. Read after its
        rows: no number that one of them has may be given out again. Raises QueryFailed,
        ConnectionFailed."""
        if not self._has_member_sequences:
            return
        with dump.connect() as session:
            sequences, locked = read_sequences(session, self._lock_wait_seconds)
        self._locked_sequences = locked
        if sequences:
            assert origin.properties is not None
            yield SectionStart(SectionName(SectionKind.EXTENSION_SEQUENCES))
            yield sequences_text(sequences, origin.properties.encoding)
            yield SectionEnd()

    # -- pg_dumpall ----------------------------------------------------------------------------

    def _kept_globals(self) -> SectionKept | None:
        """Return the former section of the globals, if it is that of now."""
        if self._former is None or not self._with_globals:
            return None
        dump = self._dump
        if dump is None or isinstance(dump, GuardedDump) or not dump.globals_are_kept:
            return None
        section = self._former.sections.get(SectionName(SectionKind.GLOBALS))
        if section is None or section.name in self._former.lost:
            return None
        self._globals_status = self._former.origin.globals_status
        self._globals_volatile = tuple(
            line for line in self._former.volatile if line.section == section.name
        )
        return SectionKept(section)

    def _begin_globals(self) -> GlobalsDump | None:
        if not self._with_globals:
            return None
        self._globals_dump = GlobalsDump(
            self._server,
            self._application,
            is_superuser=self._is_superuser,
            allow_newer=self._allow_newer,
        )
        if self._abandoned:
            raise Interrupted("the dump was stopped")
        self._globals_dump.begin()
        return self._globals_dump

    def _globals_events(self, globals_dump: GlobalsDump) -> Iterator[DumpEvent]:
        """Yield the globals section, or none: the database is worth more than its roles' list."""
        text = globals_dump.text()
        self._globals_status = globals_dump.status
        if text is None:
            return
        # Late: mostly they are as they were.
        from pgsnap.dump.globals import GlobalsReader

        reader = GlobalsReader((text,))
        try:
            events = list(reader.events())
        except SourceError as error:
            self._globals_status = f"none: {error.message}"
            return
        self._globals_volatile = reader.volatile
        yield from events


def _as_read(dump: _Dump) -> tuple[Reading | None, Baseline | None]:
    """Return how the rows were read, and the baseline for a later dump."""
    if not isinstance(dump, GuardedDump) and dump.choices is not None:
        return dump.choices.reading(), dump.baseline
    return Reading(ReadMode.STREAM), None
