"""`snap database`: the databases of a repository, their servers and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.text.program import program
from pgsnap.cli.wiring.connect import identifier_of, open_repository, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.workflows.history.databases import DatabaseEntry

EXAMPLES = """
snap database list
snap database adopt shop
snap database adopt shop@7301234567890123456
snap database retire old_shop
snap database rename shop store
"""

# The number of arguments of each.
_ACTIONS = {"list": 0, "adopt": 1, "retire": 1, "rename": 2}
_USAGE = {
    "adopt": "snap database adopt LABEL, or LABEL@ID",
    "retire": "snap database retire LABEL, or LABEL@ID",
    "rename": "snap database rename LABEL NEW",
}


def run(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="list|adopt|retire|rename", show_default=False)],
    label: Annotated[
        str | None,
        typer.Argument(
            metavar="[LABEL]", show_default=False, help="The label; LABEL@ID for one server of it."
        ),
    ] = None,
    new: Annotated[
        str | None,
        typer.Argument(metavar="[NEW]", show_default=False, help="With rename: the new label."),
    ] = None,
) -> None:
    """List the databases of the repository, or say what became of one.

    adopt: the server that its snapshots were taken from is no more, they go on as those of the
    server that is connected to. retire: check waits no longer for new ones. rename: it bears
    another name from now on. Snapshots stay as they are.
    """
    invocation = Invocation.of(ctx)
    if action not in _ACTIONS:
        raise UsageError(
            f'there is no "{program()} database {action}"', hint=action_hint(action, _ACTIONS)
        )
    given = [word for word in (label, new) if word is not None]
    if len(given) != _ACTIONS[action] and (action != "list" or new is not None):
        raise UsageError(
            f"snap database {action} takes {render.plural(_ACTIONS[action], 'name')}",
            hint=f"Write {_USAGE.get(action, 'snap database list')}.",
        )
    if action == "list":
        _list(invocation, label or invocation.settings.database)
    elif action == "adopt":
        _adopt(invocation, given[0])
    elif action == "retire":
        _retire(invocation, given[0])
    else:
        _rename(invocation, given[0], given[1])


def _list(invocation: Invocation, label: str | None) -> None:
    from pgsnap.workflows.history.databases import list_databases

    with open_repository(invocation) as repo:
        entries = list_databases(repo, label, invocation.now)
    if not entries and not invocation.console.json:
        invocation.console.tell("no snapshots yet")
    rows = [
        (
            render.plain(entry.chain.full_name),
            render.plural(entry.count, "snapshot"),
            f"newest {render.short_id(entry.newest)}",
            render.ago(entry.snapshot.time, invocation.now),
            render.plain(_words(entry)),
        )
        for entry in entries
    ]
    invocation.console.emit([_fields(entry) for entry in entries], render.columns(rows))


def _words(entry: DatabaseEntry) -> str:
    words = [entry.snapshot.origin.host] if entry.snapshot.origin.host else []
    if entry.renamed_to is not None:
        words.append(f"goes on as {entry.renamed_to}")
    elif entry.retired is not None:
        words.append("retired")
    return ", ".join(words)


def _fields(entry: DatabaseEntry) -> dict[str, Any]:
    return {
        "database": entry.chain.label,
        "system_identifier": entry.chain.server or None,
        "host": entry.snapshot.origin.host,
        "snapshots": entry.count,
        "newest": entry.newest,
        "snapshot_time": entry.snapshot.time,
        "retired": entry.retired,
        "renamed_to": entry.renamed_to,
    }


def _adopt(invocation: Invocation, name: str) -> None:
    from pgsnap.workflows.history.databases import adopt

    here = identifier_of(server_of(invocation.settings))
    with open_repository(invocation) as repo:
        chain = adopt(repo, name, here)
    fields = {
        "database": chain.label,
        "system_identifier": here,
        "adopted": chain.server,
    }
    there = render.plain(chain.full_name)
    invocation.console.emit(fields, [f"{there} goes on as the database of this server ({here})"])


def _retire(invocation: Invocation, name: str) -> None:
    from pgsnap.workflows.history.databases import retire

    with open_repository(invocation) as repo:
        label, server = retire(repo, name)
    fields = {"database": label, "system_identifier": server}
    line = f"no new snapshots of {render.plain(name)} are waited for; the next commit of it is one"
    invocation.console.emit(fields, [line])


def _rename(invocation: Invocation, old: str, new: str) -> None:
    from pgsnap.workflows.history.databases import rename

    with open_repository(invocation) as repo:
        rename(repo, old, new)
    if invocation.settings.database == old and invocation.given.database is None:
        invocation.console.warn(
            f'warning: snap.toml says database = "{old}": commits go on under that name until it'
            f' says database = "{new}"'
        )
    fields = {"database": old, "renamed_to": new}
    shown = f"{render.plain(old)} goes on as {render.plain(new)}"
    invocation.console.emit(
        fields, [f"{shown}; what was recorded until now stays {render.plain(old)}'s"]
    )
