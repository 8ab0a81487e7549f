"""`snap key`: the key slots of an encrypted repository."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.config.keys import absolute_path
from pgsnap.cli.config.secret_source import SecretKind, SecretSource
from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.text.program import program
from pgsnap.cli.views.gc import refuse_incomplete, resealed_fields, resealed_lines
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UntrustedPath, UsageError

if TYPE_CHECKING:
    from pgsnap.maintenance.resealing import Resealed
    from pgsnap.repository.sealed.slots import StoredSlot
    from pgsnap.sealing.wrapping_keys import NewOpener

EXAMPLES = """
snap key list
snap key add --name cron --new-key-file /etc/snap/key
snap key add --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
snap key remove 3f9a
snap key rotate
snap key rotate --reencrypt
"""

_ACTIONS = ("list", "add", "remove", "rotate", "reencrypt")


def run(
    ctx: typer.Context,
    action: Annotated[
        str, typer.Argument(metavar="list|add|remove|rotate|reencrypt", show_default=False)
    ],
    slot: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", show_default=False, help="With remove: which one."),
    ] = None,
    new_passphrase_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With add: a passphrase, in this file."),
    ] = None,
    new_key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="With add: a key file.")
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="With add: a public key of age or SSH. With rotate: keep it (repeatable).",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="TEXT", help="With add: whose key it is. Anybody can read it.")
    ] = "",
    reencrypt: Annotated[
        bool,
        typer.Option("--reencrypt", help="With rotate: encrypt what is stored again, too."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """List what opens an encrypted repository, or change it.

    add: one more passphrase (which is asked for), key file or public key. remove: that one opens
    it no more; who has copied the repository's keys with it still has them. rotate: what is
    written from now on has a new key, which only the key that you use now opens. reencrypt: what
    older keys encrypted is encrypted again with the newest one.
    """
    invocation = Invocation.of(ctx)
    recipients = recipient or []
    news = [one for one in (new_passphrase_file, new_key_file, *recipients) if one is not None]
    _check(action, slot, news, has_files=len(news) > len(recipients), has_name=bool(name))
    if reencrypt and action != "rotate":
        raise UsageError(
            f"snap key {action} takes no --reencrypt", hint="Write snap key rotate --reencrypt"
        )
    if action == "list":
        _list(invocation)
    elif action == "add":
        _add(invocation, new_passphrase_file, new_key_file, recipients, name)
    elif action == "remove":
        assert slot is not None
        _remove(invocation, slot, yes=yes)
    elif action == "rotate":
        _rotate(invocation, recipients, yes=yes, reencrypt=reencrypt)
    else:
        done = _reencrypt(invocation)
        invocation.console.emit(resealed_fields(done), resealed_lines(done))
        refuse_incomplete(done)


def _check(
    action: str, slot: str | None, news: list[str], *, has_files: bool, has_name: bool
) -> None:
    """Raise UsageError unless *action* takes what was given with it."""
    if action not in _ACTIONS:
        raise UsageError(
            f'there is no "{program()} key {action}"', hint=action_hint(action, _ACTIONS)
        )
    if (slot is None) is (action == "remove"):
        raise UsageError(
            "snap key remove takes the id of one key slot; the others take none",
            hint="See which slots there are: snap key list",
        )
    if (news and action not in ("add", "rotate")) or (has_name and action != "add"):
        raise UsageError(f"snap key {action} takes no new key")
    if len(news) > 1 and action == "add":
        raise UsageError("snap key add takes one new key at a time")
    if has_files and action == "rotate":
        raise UsageError(
            "a rotation keeps the key that opens the repository now",
            hint="Add another one first: snap key add",
        )


def _list(invocation: Invocation) -> None:
    from pgsnap.cli.wiring.secrets_given import secrets_in_files
    from pgsnap.maintenance.keys import key_slots, opened_slot

    config, slots = key_slots(invocation.settings.repository, trust=invocation.trust)
    assert config.encryption is not None
    opened = None
    # A secret that cannot be read does not keep anybody from seeing which slots there are.
    with contextlib.suppress(UsageError, UntrustedPath):
        opened = opened_slot(config, slots, secrets_in_files(invocation))
    newest = max((one.slot.epochs for one in slots.sound), default=0)
    for damaged in slots.damaged:
        invocation.console.warn(f"warning: {damaged} is damaged")
    fields = [
        {
            **_fields(one),
            "is_current": one.slot.epochs == newest,
            "is_verified": one == opened,
            "fingerprint": config.encryption.fingerprint,
        }
        for one in slots.sound
    ]
    rows = [
        (
            one.id,
            str(one.slot.kind),
            render.ago(one.slot.created, invocation.now),
            render.plain(one.slot.name),
            render.plain(one.slot.recipient),
            "verified: it opens with your key" if one == opened else "unverified",
            "" if one.slot.epochs == newest else "does not open what is written now",
        )
        for one in slots.sound
    ]
    if any(one != opened for one in slots.sound):
        invocation.console.tell(
            "what an unverified slot says of itself, anybody who can write to the store may have"
            " written"
        )
    lines = [*render.columns(rows), f"fingerprint {config.encryption.fingerprint.hex()}"]
    invocation.console.emit(fields, lines)


def _add(
    invocation: Invocation,
    passphrase_file: str | None,
    key_file: str | None,
    recipients: list[str],
    name: str,
) -> None:
    from pgsnap.maintenance.keys import add_key

    with open_repository(invocation) as repo:
        opener = _new_opener(invocation, passphrase_file, key_file, recipients)
        made = add_key(repo, opener, name=name)
    words = f"the repository opens with this {made.slot.kind} too: key slot {made.id}"
    invocation.console.emit(_fields(made), [words])


def _new_opener(
    invocation: Invocation,
    passphrase_file: str | None,
    key_file: str | None,
    recipients: list[str],
) -> NewOpener:
    from pgsnap.cli.wiring.secrets_given import ask_new_passphrase, read_secret
    from pgsnap.sealing.wrapping_keys import Identity, Recipient

    if recipients:
        return Recipient(recipients[0])
    files: tuple[tuple[str | None, SecretKind], ...] = (
        (passphrase_file, "passphrase_file"),
        (key_file, "key_file"),
    )
    for named, kind in files:
        if named is not None:
            option = f"--new-{kind.replace('_', '-')}"
            path = absolute_path(named, Path.cwd(), option)
            opener = read_secret(SecretSource(kind, path, option))
            assert not isinstance(opener, Identity)
            return opener
    return ask_new_passphrase(invocation)


def _remove(invocation: Invocation, slot: str, *, yes: bool) -> None:
    from pgsnap.cli.wiring.secrets_given import named_secrets
    from pgsnap.maintenance.keys import find_key, key_slots, remove_key

    _, slots = key_slots(invocation.settings.repository, trust=invocation.trust)
    found = find_key(slots, slot)
    if not yes:
        invocation.console.confirm(f"The repository opens no more with {_words(found)}. Go on?")
    with open_repository(invocation, alone=True) as repo:
        removed = remove_key(repo, found.id, named_secrets(invocation))
    invocation.console.tell(
        "who has copied the repository's keys with it still has them: snap key rotate"
    )
    invocation.console.emit(_fields(removed), [f"removed {_words(removed)}"])


def _rotate(invocation: Invocation, recipients: list[str], *, yes: bool, reencrypt: bool) -> None:
    from pgsnap.cli.wiring.secrets_given import unlocking
    from pgsnap.maintenance.keys import rotate_keys, rotation_drops

    with open_repository(invocation, alone=True) as repo:
        dropped = rotation_drops(repo, recipients)
        if dropped and not yes:
            words = "; ".join(_words(one) for one in dropped)
            invocation.console.confirm(
                f"These key slots will be removed, and can be added again: {words}. Go on?"
            )
        done = rotate_keys(repo, recipients, agreed=None if yes else dropped)
        unlocking(invocation).pins.keep(str(repo.place), repo.config, done.keys)
    resealed = _reencrypt(invocation) if reencrypt else None
    fields = {
        "epoch": done.keys.epoch,
        "key_slots": [_fields(one) for one in done.kept],
        "removed": [one.id for one in dropped],
        "reencrypted": resealed_fields(resealed) if resealed is not None else None,
    }
    lines = [
        f"what is written from now on has key number {done.keys.epoch}",
        *(f"it opens with {_words(one)}" for one in done.kept),
        *(f"removed {_words(one)}" for one in dropped),
    ]
    if resealed is None:
        lines.append("what was written before keeps its key: who had that can still read it")
    else:
        lines += resealed_lines(resealed)
    invocation.console.emit(fields, lines)
    if resealed is not None:
        refuse_incomplete(resealed)


def _reencrypt(invocation: Invocation) -> Resealed:
    from pgsnap.maintenance.resealing import reseal
    from pgsnap.workflows.retention.gc import PACK_GRACE

    console = invocation.console
    with open_repository(invocation, alone=True) as repo, console.progress() as progress:
        return reseal(repo, pack_grace=PACK_GRACE, progress=progress)


def _words(one: StoredSlot) -> str:
    name = f' "{render.plain(one.slot.name)}"' if one.slot.name else ""
    return f"{one.slot.kind}{name}, key slot {one.id}"


def _fields(one: StoredSlot) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": str(one.slot.kind).replace(" ", "-"),
        "name": one.slot.name,
        "created": one.slot.created,
        "epochs": one.slot.epochs,
        "recipient": one.slot.recipient or None,
    }
