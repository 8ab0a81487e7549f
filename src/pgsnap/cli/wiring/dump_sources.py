"""From settings to where a dump comes from: a server, a file, standard input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap.cli.config.settings import Settings
from pgsnap.cli.console.console import Console
from pgsnap.cli.wiring.connect import database_of_dsn, server_of, tell_left_out
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.model import Origin
    from pgsnap.runners.base import Child
    from pgsnap.sources.file import ArchiveReader, FileSource
    from pgsnap.sources.postgres import PostgresSource

_JOBS_MAX = 2


def commit_source(
    invocation: Invocation,
    file: str | None,
    *,
    lock_wait_timeout: float,
    allow_newer_client: bool,
    exclude_table_data: tuple[str, ...] = (),
    only_schemas: tuple[str, ...] = (),
    jobs: int | None = None,
) -> tuple[PostgresSource | FileSource, str]:
    """Return the source of the dump, and the label of its snapshot. Raises UsageError."""
    settings = invocation.settings
    if jobs is not None and (file is not None or settings.source != "direct"):
        raise UsageError(
            "--jobs has no use here: one pg_dump writes the whole dump",
            hint="" if file is not None else 'Put source = "direct" into snap.toml.',
        )
    if file is not None:
        if exclude_table_data or only_schemas:
            raise UsageError(
                "--exclude-table-data and --schema say to pg_dump what to leave out, and the file"
                " is dumped already"
            )
        return _file_source(invocation, file), label_of_dump(settings)
    from pgsnap.sources.postgres import PostgresSource

    found = server_of(settings)
    tell_left_out(invocation.console, found.endpoint, deed="recorded")
    source = PostgresSource(
        found,
        lock_wait_timeout_seconds=lock_wait_timeout,
        allow_newer_client=allow_newer_client,
        exclude_table_data=exclude_table_data,
        only_schemas=only_schemas,
        jobs=jobs or jobs_of(settings),
        may_checkpoint=settings.checkpoint,
    )
    return source, settings.database or found.endpoint.database


def diff_source(
    invocation: Invocation, file: str | None, *, like: Origin, allow_newer_client: bool
) -> tuple[PostgresSource | FileSource, str]:
    """Return the source to compare a snapshot with, and its name; it covers the same part of the
    database as *like*. Raises UsageError."""
    if file is not None:
        return _file_source(invocation, file), file
    from pgsnap.sources.postgres import PostgresSource

    settings = invocation.settings
    found = server_of(settings)
    source = PostgresSource(
        found,
        lock_wait_timeout_seconds=settings.lock_wait_timeout,
        allow_newer_client=allow_newer_client or settings.allow_newer_client,
        exclude_table_data=like.excluded_table_data,
        only_schemas=like.only_schemas,
    )
    return source, found.endpoint.database


def jobs_of(settings: Settings) -> int | None:
    """Return how many connections read a database by default, None if pg_dump does: the commit
    itself needs a core too."""
    return min(_JOBS_MAX, os.cpu_count() or 1) if settings.source == "direct" else None


def warn_of_dump(console: Console, source: object) -> None:
    """Pass on pg_dump's warnings, if *source* was read through it, and notices about
    a file that was read."""
    for warning in getattr(source, "warnings", ()):
        # Most of them begin with the name already.
        console.warn(f"pg_dump: {warning.removeprefix('pg_dump: ')}")
    if console.verbose and (reason := getattr(source, "streamed_because", "")):
        console.tell(f"rows were read by pg_dump alone: {reason}")
    for doubt in getattr(source, "doubts", ()):
        console.warn(f"warning: {doubt}")
    for notice in getattr(source, "notices", ()):
        console.warn(notice)


def _file_source(invocation: Invocation, file: str) -> FileSource:
    from pgsnap.sources.file import FileSource

    if file != "-":
        return FileSource(Path(file), archives=archive_reader(invocation.settings))
    if invocation.console.terminal.stdin_is_terminal:
        raise UsageError(
            "standard input is a terminal, no dump comes from it",
            hint='Pipe one into it: pg_dump ... | snap commit -m "..." --file -',
        )
    return FileSource(stream=invocation.console.terminal.stdin_bytes)


def archive_reader(settings: Settings) -> ArchiveReader | None:
    """Return a reader of archives by pg_restore on this host; None if it is not installed."""
    from pgsnap.errors import ToolMissing
    from pgsnap.runners.local import LocalRunner
    from pgsnap.sessions.endpoint import TOOL_ENVIRONMENT

    runner = LocalRunner(*settings.bindirs)

    def read(path: Path) -> Child:
        program = runner.find("pg_restore").path
        return runner.start([program, "--file=-", str(path)], env=TOOL_ENVIRONMENT)

    try:
        runner.find("pg_restore")
    except ToolMissing:
        return None
    return read


def label_of_dump(settings: Settings) -> str:
    """Return the label of a dump in a file: that of the settings, else the DSN's database. Raises
    UsageError."""
    named = settings.database or database_of_dsn(settings)
    if named is None:
        raise UsageError(
            "a dump does not say of which database it is",
            hint="Name it with --database NAME, or set database in snap.toml.",
        )
    return named
