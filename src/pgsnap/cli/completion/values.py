"""What may stand for an argument or option: choices, tags, labels, tables, remotes and others.

All of it is looked up without a question to anybody; what cannot be looked up so is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pgsnap.cli.completion import Candidate, stored
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.patterns import regex

_CHOICES = regex(r"\[?(?P<words>[a-z][a-z-]*(?:\|[a-z][a-z-]*)+)\]?")
# By the command and the argument, by the option, or by what stands for the value in the usage.
_KINDS = {
    "tag name": "tag",
    "tag --delete": "tag",
    "remote name": "remote",
    "unforget revision": "forgotten",
    "pull revisions": "fetched",
    "run command": "files",
    "open command": "files",
    "bisect words": "revision",
    "help topic": "topic",
    "--row": "",
    "--database": "label",
    "--remote": "remote",
    "--from": "remote",
    "--section": "section",
    "--compose": "compose",
    "--container": "container",
    "--stop": "service",
    "--exclude-table-data": "table",
    "--schema": "schema",
    **dict.fromkeys(("REV", "SNAPSHOT"), "revision"),
    **dict.fromkeys(("FILE", "FILE|-", "KEY"), "files"),
    **dict.fromkeys(("PATH", "FOLDER", "PATH|URL"), "folders"),
    "SCHEMA.TABLE": "table",
    "REMOTE": "remote",
    "LABEL": "label",
    "LABEL@ID": "server",
    "DSN": "dsn",
    "ZONE": "zone",
    "JOB": "job",
}
_SECONDS = 1


def kind_of(param: click.Parameter, ctx: click.Context) -> str:
    """Return the kind of values that *param* takes, "" if it is not known."""
    command = ctx.command.name or ctx.info_name or ""
    metavar = (param.metavar or "").strip("[].…")
    names = [param.name or "", *param.opts]
    for key in (*(f"{command} {name}" for name in names), *names, metavar):
        if key in _KINDS:
            return _KINDS[key]
    return ""


def offered(
    param: click.Parameter, ctx: click.Context, beginning: str, wait: Callable[[], None]
) -> Iterator[Candidate]:
    """Yield what may stand for *param*, of which *beginning* is typed already; *wait* is called
    before something is asked that may not answer. Raises SnapError."""
    choices = _CHOICES.fullmatch(param.metavar or "")
    if choices is not None:
        yield from map(Candidate, choices["words"].split("|"))
    kind = kind_of(param, ctx)
    invocation = Invocation.of(ctx)
    if kind in _SOURCES:
        yield from _SOURCES[kind](invocation)
    elif kind == "dsn":
        yield from _dsn(invocation, wait)
    elif kind:
        if not isinstance(invocation.settings.repository, Path):
            wait()
        yield from stored.offered(kind, ctx, invocation, beginning)


def _topics(invocation: Invocation) -> Iterator[Candidate]:
    from pgsnap.cli import commands
    from pgsnap.cli.commands.help import EXIT_CODES_TOPIC

    yield from map(Candidate, (*commands.NAMES, EXIT_CODES_TOPIC))


def _remotes(invocation: Invocation) -> Iterator[Candidate]:
    for name, table in (invocation.settings.remotes or {}).items():
        yield Candidate(name, str(table.url))


def _jobs(invocation: Invocation) -> Iterator[Candidate]:
    from pgsnap.cli.config.schedule import JOBS

    yield from map(Candidate, JOBS)


def _zones(invocation: Invocation) -> Iterator[Candidate]:
    import zoneinfo

    yield from map(Candidate, sorted(zoneinfo.available_timezones()))


def _compose_services(invocation: Invocation) -> Iterator[Candidate]:
    from pgsnap.cli.config.compose_file import all_services, find_compose_file, postgres_services

    settings = invocation.settings
    path = settings.compose_file or find_compose_file(settings.folder)
    if path is not None:
        for name in dict.fromkeys((*postgres_services(path), *all_services(path))):
            yield Candidate(name, f"of {path.name}")


def _services(invocation: Invocation) -> Iterator[Candidate]:
    table = invocation.settings.services
    for name in (*table.names, *table.own) if table is not None else ():
        yield Candidate(name, "of snap.toml")
    yield from _compose_services(invocation)


def _containers(invocation: Invocation) -> Iterator[Candidate]:
    import subprocess

    for engine in ("docker", "podman"):
        try:
            done = subprocess.run(
                [engine, "ps", "--format", "{{.Names}}\t{{.Image}}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        for line in done.stdout.splitlines():
            name, _, image = line.partition("\t")
            yield Candidate(name, image)


def _dsn(invocation: Invocation, wait: Callable[[], None]) -> Iterator[Candidate]:
    """Yield the services of libpq's files, and the databases of the server of the settings."""
    own = os.environ.get("PGSERVICEFILE") or str(Path("~/.pg_service.conf").expanduser())
    for path in (Path(own), Path(os.environ.get("PGSYSCONFDIR", "/etc"), "pg_service.conf")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for name in re.findall(r"^\[([^\]\s]+)\]", text, re.MULTILINE):
            yield Candidate(f"service={name}", f"of {path}")
    from pgsnap.cli.wiring.connect import server_of
    from pgsnap.workflows.watch.server_databases import committed_databases

    if invocation.settings.place is None:
        # What is imported now is not waited for later.
        import psycopg  # noqa: F401

        server = server_of(invocation.settings)
        wait()
        for name in committed_databases(server.at(server.endpoint.hasty(_SECONDS))):
            yield Candidate(f"dbname={name}", "on the server of the settings")


_SOURCES: dict[str, Callable[[Invocation], Iterator[Candidate]]] = {
    "topic": _topics,
    "remote": _remotes,
    "job": _jobs,
    "zone": _zones,
    "compose": _compose_services,
    "service": _services,
    "container": _containers,
}
