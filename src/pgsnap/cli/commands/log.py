"""`snap log`: the snapshots, newest first; or the history of one row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.commands.options import KeyColumns
from pgsnap.cli.commands.retention_options import chosen_grace
from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import (
    ahead_words,
    drill_fields,
    drill_words,
    forgotten_fields,
    kept_fields,
    kept_lines,
    log_block,
    log_rows,
    remote_fields,
    remote_rows,
    snapshot_fields,
    until_words,
    when,
)
from pgsnap.cli.wiring.connect import half_dropped_now, open_repository
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.looking.rows import WantedRow, history_of
from pgsnap.cli.wiring.remotes import remote_of
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.workflows.history.log import KeptEntry, Listing, LogEntry

EXAMPLES = """
snap log
snap log --oneline --limit 10
snap log --all
snap log --forgotten
snap log --remote offsite
snap log --table public.orders --row 42
snap log --table shop.order_items --row order_id=42,line=1 --since 2026-01-01
snap log --database shop --json | jq -r '.[0].id'
"""

Oneline = Annotated[bool, typer.Option("--oneline", help="One line for each.")]
Limit = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Only the newest N.")
]
All = Annotated[bool, typer.Option("--all", help="Safety snapshots of restores too.")]
Forgotten = Annotated[
    bool, typer.Option("--forgotten", help="Those that are forgotten and can be brought back.")
]
Remote = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="NAME",
        show_default=False,
        help="Those of this remote, as the last `snap fetch` found them.",
    ),
]
Newest = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]", show_default=False, help="With --row: the newest. [default: latest]"
    ),
]
Table = Annotated[
    str | None, typer.Option("--table", metavar="SCHEMA.TABLE", help="The table for --row.")
]
Row = Annotated[
    str | None,
    typer.Option(
        "--row", metavar="KEY", help="The history of this row instead: 42, or 1,2, or a=1,b=2."
    ),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="With --row: from 2026-01-02 on.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="With --row: up to then.")
]


def run(
    ctx: typer.Context,
    revision: Newest = None,
    oneline: Oneline = False,
    limit: Limit = None,
    every: All = False,
    forgotten: Forgotten = False,
    remote: Remote = None,
    table: Table = None,
    row: Row = None,
    key: KeyColumns = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """List the snapshots, newest first; with --table and --row the history of that row.

    Of a row: when it appeared, each change, and when it went. Only the parts of the table that can
    hold it are read, and no server is needed. KEY has the values of the primary key.
    """
    invocation = Invocation.of(ctx)
    given = (table, row, key, since, until, revision)
    if any(word is not None for word in given):
        if table is None or row is None:
            raise UsageError(
                "the history of a row needs --table and --row",
                detail="A REV, --key, --since and --until are for it alone.",
                hint="Name both: snap log --table SCHEMA.TABLE --row KEY",
            )
        if oneline or every or forgotten or remote is not None:
            raise UsageError(
                "a row's history is not listed so",
                detail="With --row go --table, --key, --since, --until, --limit and a REV.",
                hint="Of a remote: snap log --table T --row KEY REMOTE/latest",
            )
        _row(invocation, WantedRow(table, row, key, revision, since, until), limit)
        return
    if remote is not None:
        if forgotten:
            raise UsageError(
                "--remote and --forgotten exclude each other",
                hint="See what is forgotten there: snap log --forgotten --repo URL",
            )
        _fetched(invocation, remote, limit)
        return
    if forgotten:
        _forgotten(invocation, limit, oneline=oneline)
        return
    _recorded(invocation, limit, oneline=oneline, every=every)


def _recorded(invocation: Invocation, limit: int | None, *, oneline: bool, every: bool) -> None:
    from pgsnap.workflows.history.log import Listing, kept, log, page

    console = invocation.console
    with open_repository(invocation) as repo:
        database = invocation.settings.database
        # What reads JSON chooses by itself.
        listing = (
            Listing(tuple(log(repo, database=database, limit=limit)))
            if console.json
            else page(repo, database=database, limit=limit, every=every)
        )
        entries = listing.entries
        replaced = kept(
            repo,
            database=database,
            half_dropped=lambda: half_dropped_now(invocation.settings, every=True),
        )
        labels = [] if entries else repo.databases()
    fields = _fields(entries, replaced) if console.json else []
    if not entries and not console.json:
        console.tell(_nothing(labels, database))
    lines = _lines(invocation, entries, oneline=oneline)
    if listing.left_out:
        console.tell(_left_out(listing))
    kept_words = kept_lines(replaced, invocation.now)
    if replaced and not oneline:
        lines += ["", *kept_words]
    console.emit(fields, lines, paged=True)
    if oneline and not console.json:
        for entry in entries:
            if ahead := ahead_words(entry.snapshot_id, entry.snapshot.time, invocation.now):
                console.tell(f"{render.short_id(entry.snapshot_id)}: {ahead}")
        # Scripts count the lines of standard output.
        for line in kept_words:
            console.tell(line)


def _row(invocation: Invocation, wanted: WantedRow, limit: int | None) -> None:
    from pgsnap.cli.views.rows.history import history_fields, history_lines, summary

    console = invocation.console
    with history_of(invocation, wanted) as found:
        events = list(islice(found.events, limit))
        is_cut = limit is not None and next(found.events, None) is not None
    colour = console.terminal.colour
    lines = history_lines(found.history, events, found.tags, now=invocation.now, colour=colour)
    if found.history.ends:
        console.tell(found.history.ends)
    if found.history.gaps:
        console.warn(f"warning: {found.history.gaps}")
    console.tell(summary(found.history, len(events), is_cut=is_cut))
    fields = history_fields(found.history, events, found.tags, is_cut=is_cut)
    console.emit(fields, lines, paged=True)


def _lines(invocation: Invocation, entries: Sequence[LogEntry], *, oneline: bool) -> list[str]:
    now = invocation.now
    lines: list[str] = []
    divided = _with_several_servers(entries)
    if oneline:
        shown = [(entry.snapshot_id, entry.snapshot, entry.tags) for entry in entries]
        several = len({entry.snapshot.database for entry in entries}) > 1
        drills = {entry.snapshot_id: entry.drilled for entry in entries if entry.drilled}
        colour = invocation.console.terminal.colour
        lines = log_rows(shown, now=now, several_databases=several, drills=drills, colour=colour)
    else:
        for entry in entries:
            mark = [("Tested", drill_words(entry.drilled, now))] if entry.drilled else []
            if entry.server and entry.snapshot.database in divided:
                mark.append(("Server", entry.server))
            if ahead := ahead_words(entry.snapshot_id, entry.snapshot.time, now):
                mark.append(("Clock", ahead))
            lines += log_block(
                entry.snapshot_id,
                entry.snapshot,
                entry.tags,
                now=now,
                colour=invocation.console.terminal.colour,
                more=mark,
            )
    return lines[:-1] if lines and not lines[-1] else lines


def _left_out(listing: Listing) -> str:
    count = render.plural(listing.left_out, "safety snapshot")
    verb = "is" if listing.left_out == 1 else "are"
    latest = ", the newest snapshot among them" if listing.latest_left_out else ""
    return f"{count} of restores {verb} not shown{latest}: snap log --all"


def _fields(entries: Sequence[LogEntry], replaced: Sequence[KeptEntry]) -> list[dict[str, Any]]:
    """Return the --json form of *entries*; kept databases are with the newest of their label."""
    fields = [snapshot_fields(entry.snapshot_id, entry.snapshot, entry.tags) for entry in entries]
    newest: set[str] = set()
    for entry, found in zip(entries, fields, strict=True):
        label = entry.snapshot.database
        mine = [k for k in replaced if k.database == label and label not in newest]
        found.update(drill_fields(entry.drilled))
        found["system_identifier"] = entry.server or None
        found["kept"] = [kept_fields(k) for k in mine]
        newest.add(label)
    return fields


def _with_several_servers(entries: Sequence[LogEntry]) -> set[str]:
    """Return the labels whose snapshots were taken from more than one server."""
    pairs = {(entry.snapshot.database, entry.server) for entry in entries if entry.server}
    labels = [label for label, _ in pairs]
    return {label for label in labels if labels.count(label) > 1}


def _nothing(labels: list[str], database: str | None) -> str:
    """Return the message if there is nothing to list."""
    if labels and database is not None:
        return f'no snapshots of database "{database}"; there are some of {", ".join(labels)}'
    return 'no snapshots yet: record one with `snap commit -m "first snapshot"`'


def _fetched(invocation: Invocation, remote: str, limit: int | None) -> None:
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import last_fetch

    name, _ = remote_of(invocation, remote)
    path = invocation.settings.config_path
    # Remotes are nowhere else.
    assert path is not None
    known = last_fetch(State(path, invocation.trust), name)
    if known is None:
        raise UsageError(
            f"it is not known what {name} has", hint=f"Look it up first: snap fetch {name}"
        )
    database = invocation.settings.database
    shown = [one for one in known.snapshots if database in (None, one.database)][:limit]
    invocation.console.tell(f"{name} as it was {render.ago(known.time, invocation.now)}")
    invocation.console.emit([remote_fields(one) for one in shown], remote_rows(shown), paged=True)


def _forgotten(invocation: Invocation, limit: int | None, *, oneline: bool) -> None:
    from pgsnap.workflows.retention.forget import list_forgotten

    grace = chosen_grace(invocation.settings)
    with open_repository(invocation) as repo:
        found = list_forgotten(repo, database=invocation.settings.database)[:limit]
    if not found and not invocation.console.json:
        invocation.console.tell("nothing is forgotten")
    now = invocation.now
    lines: list[str] = []
    if oneline:
        several = len({one.snapshot.database for one in found}) > 1
        shown = [(one.snapshot_id, one.snapshot, one.tags) for one in found]
        lines = log_rows(shown, now=now, several_databases=several)
    else:
        for one in found:
            since = f"{when(one.since, now)}\n{until_words(one.since, grace)}"
            lines += log_block(
                one.snapshot_id,
                one.snapshot,
                one.tags,
                now=now,
                colour=invocation.console.terminal.colour,
                more=[("Forgotten", since)],
            )
    fields = [forgotten_fields(one, grace) for one in found]
    shown_lines = lines[:-1] if lines and not lines[-1] else lines
    invocation.console.emit(fields, shown_lines, paged=True)
