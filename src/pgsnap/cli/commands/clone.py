"""`snap clone`: makes a repository here with all that another one has."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import Bandwidth
from pgsnap.cli.config.keys import address
from pgsnap.cli.console.steps import TRANSFER
from pgsnap.cli.text.program import named
from pgsnap.cli.views.transfer import transfer_fields, transfer_lines
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import limit_bandwidth
from pgsnap.cli.wiring.remotes import open_other
from pgsnap.cli.wiring.secrets_given import new_secret, unlocking_other
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository

EXAMPLES = """
snap clone s3://bucket/shop
snap clone s3://bucket/shop /srv/backups/shop
snap clone database/backups /srv/encrypted --encrypt
"""

Expect = Annotated[
    str | None,
    typer.Option(
        metavar="ID|HEAD",
        help="Refuse a repository without this snapshot, or this entry of its log.",
        show_default=False,
    ),
]


def run(
    ctx: typer.Context,
    url: Annotated[
        str, typer.Argument(metavar="URL", show_default=False, help="The repository to copy.")
    ],
    path: Annotated[
        str | None,
        typer.Argument(metavar="[PATH]", show_default=False, help="Where to make the copy."),
    ] = None,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt the copy, with keys of its own.")
    ] = False,
    expect: Expect = None,
    bandwidth: Bandwidth = None,
) -> None:
    """Make a repository with everything that another one has: after a loss, from off-site.

    A clone that was cut short goes on where it is run again: snapshots are seen once they are
    whole.
    """
    from pgsnap.workflows.sync.clone import begin_clone, check_expected, head_of
    from pgsnap.workflows.sync.transfer import transfer

    invocation = Invocation.of(ctx)
    source = address(url, "URL", Path.cwd())
    place = invocation.settings.repository
    if path is not None:
        place = address(path, "PATH", Path.cwd())
    limit_bandwidth(invocation, bandwidth, source, place)
    unlock = unlocking_other(invocation, named_for_it=not encrypt)
    with open_other(invocation, source, unlock=unlock, whole=True) as other:
        if expect is not None:
            check_expected(other, expect)
        head = head_of(other)
        opener = new_secret(invocation) if encrypt else None
        own = unlocking_other(invocation, opener=opener)
        going_on = _pulling(invocation, source, place)
        begin_clone(place, going_on, trust=invocation.trust, opener=opener, unlock=own)
        invocation.opened = place
        with (
            open_other(invocation, place, unlock=own) as repo,
            invocation.console.progress(TRANSFER) as progress,
        ):
            _warn_of_plain(invocation, other, repo)
            report = transfer(other, repo, all_tags=True, progress=progress)
            repository_id = repo.config.repository_id
            newest = repo.newest(None, 1)
            counts = other.place.counts()
    fields = {
        **transfer_fields(None, source, report, counts),
        "repository": place,
        "repository_id": repository_id,
        "newest": newest[0] if newest else None,
        "head": head,
    }
    lines = transfer_lines("cloned from", str(source), report)
    lines += [f"head of its log: {head}"] if head is not None else []
    if newest and not invocation.console.quiet:
        lines.append(f"next: {named('snap log')} --repo {shlex.quote(str(place))}")
    invocation.console.emit(fields, lines)


def _warn_of_plain(invocation: Invocation, other: Repository, repo: Repository) -> None:
    if other.config.encryption is not None and repo.config.encryption is None:
        invocation.console.warn(
            "the clone is not encrypted, although the repository that it is made from is:"
            " --encrypt makes an encrypted one"
        )


def _pulling(invocation: Invocation, source: Address, place: Address) -> str:
    """Return the commands that fetch into *place* what it lacks of *source*."""
    remotes = invocation.settings.remotes or {}
    known = [name for name, table in remotes.items() if table.url == source]
    name = known[0] if known else next(one for one in _names() if one not in remotes)
    pull = f"snap pull {name}"
    if place != invocation.settings.repository:
        pull += f" --repo {shlex.quote(str(place))}"
    return pull if known else f"snap remote add {name} {shlex.quote(str(source))}, then {pull}"


def _names() -> Iterator[str]:
    yield "origin"
    yield from (f"origin{number}" for number in itertools.count(2))
