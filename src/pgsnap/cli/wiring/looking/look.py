"""A look into a snapshot: a throw-away server with it, for one query or for a program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pgsnap import interrupts
from pgsnap.cli.text import render
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.looking.servers import Running, Servers
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import SnapError
from pgsnap.runners.foreground import program_named, run_in_foreground
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgsnap.cli.console.console import Console
    from pgsnap.model import Snapshot
    from pgsnap.workflows.throw_away.load import Loaded

_LOOK_SECONDS = 0.5


class ServerGone(SnapError):
    """The throw-away server ended while it was looked into."""

    kind = "server-gone"


@dataclass(frozen=True, slots=True)
class Choices:
    """What is looked into. Only *tables* have their rows, if any are named; *install*: the
    programs are downloaded where they are missing."""

    revision: str
    tables: tuple[str, ...]
    install: bool


@dataclass(frozen=True, slots=True)
class Past:
    """A snapshot that can be looked into. *start_seconds* is what the server's start took; all
    tables were loaded because of *why_all*."""

    running: Running
    snapshot: Snapshot
    loaded: Loaded
    start_seconds: float
    why_all: str = ""

    def fields(self) -> dict[str, Any]:
        """Return what is printed of it with --json."""
        from pgsnap.workflows.contents.table_names import shown

        return {
            "id": self.loaded.snapshot_id,
            "database": self.loaded.database,
            "time": self.snapshot.time,
            "server_version": self.running.cluster.binaries.version,
            "tables": list(map(shown, self.loaded.tables)),
            "rows_loaded": self.loaded.rows,
            "start_seconds": round(self.start_seconds, 3),
            "load_seconds": round(self.loaded.seconds, 3),
        }


def open_past(
    invocation: Invocation,
    choices: Choices,
    argv: Sequence[str] | None,
    *,
    tcp: bool,
    writable: bool,
) -> int:
    """Run a program (without arguments: psql) against the snapshot, and return its exit code; with
    None, print a DSN and wait until a signal ends it."""
    from pgsnap.workflows.throw_away.load import make_read_only

    if argv:
        program_named(argv[0])
    with Servers(
        invocation.settings, install=choices.install, tcp=tcp, say=invocation.console.tell
    ) as servers:
        past = _past(invocation, servers, choices)
        running, database = past.running, past.loaded.database
        if not writable:
            make_read_only(running.server, database)
        _introduce(invocation, past, writable=writable)
        if argv is None:
            _wait(invocation.console, past, writable=writable)
            return 0
        invocation.console.terminal.flush()
        environment = running.environment(database)
        return run_in_foreground(argv or _psql(past), env=environment).exit_code


def query_past(invocation: Invocation, choices: Choices, sql: str, form: str) -> None:
    """Print the answer of the snapshot to one query."""
    from pgsnap.workflows.throw_away.answer import answer, checked_query

    console = invocation.console
    sql = checked_query(sql)
    with Servers(
        invocation.settings, install=choices.install, tcp=False, say=console.tell
    ) as servers:
        past = _past(invocation, servers, choices, sql)
        _tell_what_is_there(console, past)
        # For the audit log.
        console.result = {"id": past.loaded.snapshot_id, "database": past.loaded.database}
        blocks = answer(
            past.running.server, past.loaded.database, sql, "json" if console.json else form
        )
        if console.json:
            blocks = _object(past, console.notices, blocks)
        elif form == "json":
            blocks = _array(blocks)
        for block in blocks:
            console.terminal.write_bytes(block)
        console.terminal.flush()


# -- the server and what is in it ------------------------------------------------------------------


def _past(
    invocation: Invocation, servers: Servers, choices: Choices, sql: str | None = None
) -> Past:
    """Load what is to be looked into; of what only *sql* asks, the tables that it needs. The
    repository is open no longer than that takes."""
    from pgsnap.targets.checks.requirements import source_major
    from pgsnap.workflows.contents.table_names import parse_tables
    from pgsnap.workflows.throw_away.for_query import load_for_query
    from pgsnap.workflows.throw_away.load import load

    tables = parse_tables(choices.tables)
    with open_to_read(invocation, choices.revision) as (repo, snapshot_id):
        snapshot = repo.snapshot(snapshot_id)
        clock = time.monotonic()
        running = servers.of(source_major(snapshot.origin))
        started = time.monotonic() - clock
        why_all = ""
        with invocation.console.progress() as progress:
            if sql is None:
                loaded = load(repo, snapshot_id, running.server, tables, progress=progress)
            else:
                loaded, why_all = load_for_query(
                    repo, snapshot_id, running.server, sql, tables, progress=progress
                )
    for warning in loaded.warnings:
        invocation.console.warn(f"warning: {warning}")
    return Past(running, snapshot, loaded, started, why_all)


# -- what is said of it ----------------------------------------------------------------------------


def _tell_what_is_there(console: Console, past: Past) -> None:
    from pgsnap.words import some
    from pgsnap.workflows.contents.table_names import shown

    if past.why_all:
        console.tell(f"all tables are loaded: {past.why_all}; name those that it needs: --table")
    elif past.loaded.tables:
        console.tell(f"loaded: {some(list(map(shown, past.loaded.tables)))}")
    if past.loaded.has_foreign_servers:
        console.tell("its foreign tables still lead to the servers that they name")
    if console.verbose:
        console.tell(
            f"the server started in {render.seconds(past.start_seconds)}, the load took"
            f" {render.seconds(past.loaded.seconds)}"
        )


def _introduce(invocation: Invocation, past: Past, *, writable: bool) -> None:
    loaded, console = past.loaded, invocation.console
    console.tell(
        f"{loaded.database} as of {render.clock(past.snapshot.time)}"
        f" ({render.short_id(loaded.snapshot_id)}), in a throw-away PostgreSQL"
        f" {past.running.cluster.binaries.version}"
    )
    _tell_what_is_there(console, past)
    if loaded.tables:
        console.tell("all other tables are there, and empty")
    console.tell(
        "what is written is gone at the end"
        if writable
        else "sessions are read-only, unless they turn default_transaction_read_only off; what is"
        " written then is gone at the end"
    )


def _psql(past: Past) -> list[str]:
    prompt = prompt_of(past.loaded.database, render.short_id(past.loaded.snapshot_id))
    program = past.running.cluster.binaries.program("psql")
    return [program, "-v", f"PROMPT1={prompt}", "-v", f"PROMPT2={prompt}"]


def prompt_of(database: str, short_id: str) -> str:
    """Return psql's prompt in a snapshot's database: the name, and when it is from. psql prints
    names as they are, so one with control characters, which must not reach the terminal, is given
    as a text."""
    shown = render.plain(database)
    name = "%/" if shown == database else shown.replace("%", "%%")
    return f"{name}@{short_id[:8]}%R%x%# "


def _wait(console: Console, past: Past, *, writable: bool) -> None:
    """Print the DSN, and wait for a signal. Raises ServerGone."""
    dsn = past.running.dsn(past.loaded.database)
    console.emit({**past.fields(), "dsn": dsn, "writable": writable}, [dsn], verbatim=True)
    console.terminal.flush()
    console.tell("it is there until Ctrl-C")
    try:
        while past.running.cluster.running:
            interrupts.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        return
    raise ServerGone(
        "the throw-away server ended by itself", detail=past.running.cluster.log_tail(3)
    )


def _array(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield rows as one JSON array, a row a line."""
    yield b"["
    between = b"\n"
    for row in _rows(blocks):
        yield between + row
        between = b",\n"
    yield b"]\n" if between == b"\n" else b"\n]\n"


def _object(past: Past, notices: list[str], blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the result of --json, whose rows are as the server wrote them."""
    head = render.json_text({**past.fields(), "notices": notices})
    yield head.rstrip().removesuffix("}").rstrip().encode() + b',\n  "rows": '
    yield from _array(blocks)
    yield b"}\n"


def _rows(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
