"""`snap remote`: other repositories, to push to and pull from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.config.keys import address
from pgsnap.cli.config.remotes import check_name
from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.text.program import named, program
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_remote, remote_of
from pgsnap.errors import StoreError, UsageError

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository

EXAMPLES = """
snap remote list
snap remote add offsite s3://bucket/shop
snap remote check offsite
snap remote remove offsite
"""

# The number of arguments of each.
_ACTIONS = {"list": (0, 0), "add": (2, 2), "remove": (1, 1), "check": (0, 1)}
_USAGE = {
    "list": "snap remote list",
    "add": "snap remote add NAME URL",
    "remove": "snap remote remove NAME",
    "check": "snap remote check [NAME]",
}


def run(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="list|add|remove|check", show_default=False)],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", show_default=False, help="The name of the remote."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", show_default=False, help="With add: where it is."),
    ] = None,
) -> None:
    """List the remotes of snap.toml, add or remove one, or check what its store can do.

    add appends a table to snap.toml and touches no other line of it. remove takes that table out;
    what the remote holds stays.
    """
    invocation = Invocation.of(ctx)
    if action not in _ACTIONS:
        raise UsageError(
            f'there is no "{program()} remote {action}"', hint=action_hint(action, _ACTIONS)
        )
    given = [word for word in (name, url) if word is not None]
    least, most = _ACTIONS[action]
    if not least <= len(given) <= most:
        raise UsageError(
            f"snap remote {action} takes other arguments", hint=f"Write {_USAGE[action]}"
        )
    if action == "list":
        _list(invocation)
    elif action == "add":
        with invocation.audited():
            _add(invocation, given[0], given[1])
    elif action == "remove":
        with invocation.audited():
            _remove(invocation, given[0])
    else:
        _check(invocation, name)


def _list(invocation: Invocation) -> None:
    remotes = invocation.settings.remotes or {}
    pushed = invocation.settings.push
    if not remotes and not invocation.console.json:
        invocation.console.tell("no remotes yet: snap remote add NAME URL")
    fields = [
        {"name": name, "url": str(one.url), "push": name in pushed} for name, one in remotes.items()
    ]
    rows = [(name, render.plain(str(one.url))) for name, one in remotes.items()]
    marks = ["each commit is pushed there" if name in pushed else "" for name in remotes]
    invocation.console.emit(
        fields, render.columns([(*row, mark) for row, mark in zip(rows, marks, strict=True)])
    )


def _add(invocation: Invocation, name: str, url: str) -> None:
    from pgsnap.cli.config.editing import append_table, is_ours, remote_table

    settings = invocation.settings
    check_name(name, "NAME")
    if name in (settings.remotes or {}):
        raise UsageError(
            f'there is a remote "{name}" already', hint=f"Take it out: snap remote remove {name}"
        )
    where = str(address(url, "URL", Path.cwd()))
    table = remote_table(name, where)
    path = settings.config_path
    fields: dict[str, Any] = {"name": name, "url": where, "config": path, "written": False}
    lines = []
    if path is not None and is_ours(path):
        append_table(path, table, name)
        fields["written"] = True
        lines.append(f"added [remotes.{name}] to {path}")
        if not invocation.console.quiet:
            lines.append(named(f"next: snap remote check {name}, then snap push {name}"))
    else:
        which = "there is no snap.toml" if path is None else f"{path} is not yours to write"
        invocation.console.tell(f"{which}: write this into it")
        lines += table.splitlines()
    invocation.console.emit(fields, lines)


def _remove(invocation: Invocation, name: str) -> None:
    from pgsnap.cli.config.editing import is_ours, remove_tables

    settings = invocation.settings
    _, table = remote_of(invocation, name, hint="See which there are: snap remote list")
    path = settings.config_path
    assert path is not None
    if name in settings.push:
        raise UsageError(
            f'commits are pushed to "{name}"', hint=f'Take it out of "push" in {path} first.'
        )
    if not is_ours(path):
        raise UsageError(f'"{path}" is not yours to write', hint=f"Take [remotes.{name}] out.")
    remove_tables(path, name)
    fields = {"name": name, "url": str(table.url), "config": path, "written": True}
    invocation.console.emit(
        fields, [f"removed [remotes.{name}] from {path}; {table.url} stays as it is"]
    )


def _check(invocation: Invocation, name: str | None) -> None:
    name, table = remote_of(invocation, name)
    with open_remote(invocation, name, table) as repo:
        newest = repo.newest(None, 1)
        snapshots = len(repo.newest(None))
        time = repo.snapshot(newest[0]).time if newest else None
        use, reasons = _probed(invocation, repo)
    fields = {
        "name": name,
        "url": str(table.url),
        "snapshots": snapshots,
        "newest": time,
        "use": use,
        "reasons": reasons,
    }
    words = f", the newest {render.ago(time, invocation.now)}" if time is not None else ""
    lines = [f"{name}: {render.plural(snapshots, 'snapshot')}{words}  {table.url}"]
    lines += [_USES[use]] if use in _USES else []
    if use == "one-writer" and not repo.config.one_writer:
        lines.append(
            "  but not in this repository, made without trying out the store: let them, by"
            f" {named('snap repair')} --repo {shlex.quote(str(table.url))}; until then never run"
            " two at the same time"
        )
    invocation.console.emit(fields, [*lines, *(f"  {reason}" for reason in reasons)])
    if use == "refused":
        raise StoreError(
            f"the store of {name} cannot be relied on",
            detail=" ".join(reasons),
            hint="Use another store, or ask who runs it to mend that.",
        )


_USES = {
    "full": "its store honours all that snap relies on",
    "one-writer": "its store takes one writer at a time: commands that write wait for each other",
    "refused": "its store is refused",
}


def _probed(invocation: Invocation, repo: Repository) -> tuple[str | None, tuple[str, ...]]:
    """Return what the store is good for, and why no more; None if that cannot be found out."""
    from pgsnap.stores.one_writer import bare
    from pgsnap.stores.probe import probe

    try:
        found = probe(bare(repo.place.store))
    except StoreError as error:
        invocation.console.warn(
            f"warning: the store could not be tried out: {error.message}. That takes the rights of"
            " a gc, to overwrite and to delete; a push needs neither"
        )
        return None, ()
    return found.use.value, found.reasons
