"""Says, long before it matters, that a restore would lack rights: at `init`, at the first commit of
a database, and whenever more is missing than was said."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pgsnap.cli.wiring.connect import is_named, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError

if TYPE_CHECKING:
    from pgsnap.targets.checks.restore_rights import RestoreRights

_ASKED_SECONDS = 2
_SAID = "restore_rights"


def rights_now(invocation: Invocation) -> RestoreRights | None:
    """Return what a restore would lack; None if no database is named, or it does not answer at
    once."""
    from pgsnap.targets.checks.restore_rights import restore_rights

    if not is_named(invocation.settings):
        return None
    with suppress(SnapError):
        server = server_of(invocation.settings).without_event_triggers()
        with server.at(server.endpoint.hasty(_ASKED_SECONDS)).connect() as session:
            return restore_rights(session)
    return None


def warn_of_missing_rights(invocation: Invocation, label: str, *, is_first: bool) -> None:
    """Tell what a restore of *label* would lack, unless it was told before. *is_first*: there was
    no snapshot of it. Where that cannot be noted, only then."""
    from pgsnap.schedulers.state import State

    found = rights_now(invocation)
    if found is None:
        return
    path = invocation.settings.config_path
    state = State(path, invocation.trust) if path is not None else None
    said = state.read_json(_SAID) if state is not None else {}
    before = set(map(str, said.get(label) or ()))
    grants = [right.grant for right in found.missing]
    is_news = is_first or (state is not None and not set(grants) <= before)
    if state is not None and set(grants) != before:
        try:
            state.write_json(_SAID, {**said, label: grants})
        except SnapError:
            is_news = is_first
    if grants and is_news:
        invocation.console.tell(found.words())
