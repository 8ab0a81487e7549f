"""`snap audit`: who did what to which database, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from pgsnap.cli.text import render
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.secrets_given import unlocking
from pgsnap.cli.wiring.user_folders import audit_folder
from pgsnap.errors import StoreError, UsageError

EXAMPLES = """
snap audit
snap audit --since 7d
snap audit --json | jq '.[] | select(.command == "restore")'
"""


def run(
    ctx: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", show_default=False, help="Only the last so long, as 7d."
        ),
    ] = None,
) -> None:
    """List who ran what and with what result, oldest first.

    It holds the commands that wrote something or read contents out, lies in the repository and is
    only ever appended to.
    """
    from pgsnap.repository import audit_log
    from pgsnap.repository.config import read_config
    from pgsnap.repository.places.opening import place_of
    from pgsnap.repository.sealed.unlocking import keys_of

    invocation = Invocation.of(ctx)
    console = invocation.console
    repository = invocation.settings.repository
    # The repository is not opened: the log is needed most when something is wrong.
    place = place_of(repository, invocation.trust)
    config = read_config(place)
    keys = keys_of(unlocking(invocation)(str(place), config, place.store))
    begin = None
    if since is not None:
        try:
            begin = invocation.now - parse_timedelta(since, "--since")
        except OverflowError:
            raise UsageError(f'--since is too long: "{since}"') from None
    try:
        folder = audit_folder(repository, invocation.trust)
        if folder is None:
            raise StoreError("there is no folder for the audit log", hint="Set XDG_STATE_HOME.")
        found = audit_log.read(folder, begin, keys)
    except OSError as error:
        raise StoreError("cannot read the audit log", detail=f"{error.strerror}.") from error
    if found.unreadable:
        console.warn(f"warning: {render.plural(found.unreadable, 'line')} cannot be read")
    if found.left_out:
        console.warn(f"warning: {found.left_out} older runs are not shown: the log is too large")
    if not found.entries and not console.json:
        console.tell("nothing was logged")
    if console.json:
        # Printed as one list, but never held in memory as one.
        console.terminal.write("[")
        for number, entry in enumerate(found.entries):
            item = render.json_text(entry).replace("\n", "\n  ")
            console.terminal.write(("," if number else "") + "\n  " + item)
        console.terminal.write("\n]\n" if found.entries else "]\n")
        return
    console.emit([], render.columns([_row(entry) for entry in found.entries]), paged=True)


def _row(entry: dict[str, Any]) -> list[str]:
    def word(name: str) -> str:
        value = entry.get(name)
        return render.plain(str(value)) if value is not None else "-"

    who = f"{word('user')}@{word('host')}"
    if entry.get("sudo_user"):
        who += f" ({word('sudo_user')})"
    ended = "done" if entry.get("exit_code") == 0 else f"exit {word('exit_code')}"
    ids = entry.get("snapshots") or [(entry.get("result") or {}).get("id", "")]
    return [
        render.clock(datetime.fromisoformat(entry["time"])),
        who,
        word("command"),
        word("database"),
        render.plain(" ".join(str(one)[: render.SHORT_ID_CHARS] for one in ids[:3])) or "-",
        ended,
        render.seconds(float(entry.get("seconds") or 0)),
    ]
