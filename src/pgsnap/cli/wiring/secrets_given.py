"""Reads the secrets of an encrypted repository: files, commands, credentials, the terminal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap import extras
from pgsnap.cli.config.secret_source import SecretSource, read_private
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.user_folders import pins_folder
from pgsnap.errors import Declined, UsageError
from pgsnap.limits import KEY_FILE_BYTES_MAX

if TYPE_CHECKING:
    from pgsnap.cli.config.settings import Settings
    from pgsnap.model import RepositoryConfig
    from pgsnap.repository.sealed.unlocking import Unlocking
    from pgsnap.sealing.wrapping_keys import KeyFile, Opener, Passphrase

_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_KEYRING_SERVICE = "snap"
# A slip of the finger must not end a long command line.
_ASKED_AT_MOST = 3


def unlocking(invocation: Invocation, opener: Opener | None = None) -> Unlocking:
    """Return what opens repositories with the secrets of this run: the same one each time, so that
    nothing is read or asked twice. *opener* is known already."""
    if invocation.unlocking is None:
        from pgsnap.repository.sealed.pins import Pins
        from pgsnap.repository.sealed.unlocking import Unlocking

        settings = invocation.settings
        invocation.unlocking = Unlocking(
            lambda config: iter([opener]) if opener is not None else _openers(invocation, config),
            Pins(pins_folder()),
            given=_given(settings),
            fingerprint=settings.key_fingerprint,
        )
    return invocation.unlocking


def _given(settings: Settings) -> str:
    """Return which setting named a secret that the repository of this run must need, "" if none
    did: what the environment names for all may be for a remote alone."""
    if not settings.secrets:
        return ""
    first = settings.secrets[0]
    remotes = (settings.remotes or {}).values()
    for_remote = first.of_environment and any(not one.secrets("") for one in remotes)
    return "" if for_remote and isinstance(settings.repository, Path) else first.origin


def unlocking_other(
    invocation: Invocation,
    sources: Sequence[SecretSource] = (),
    opener: Opener | None = None,
    *,
    remembers: bool = False,
    named_for_it: bool = False,
) -> Unlocking:
    """Return what opens another repository than that of the settings: with *opener*, or with the
    secrets of *sources*, which it must then need; without any, with those of this run if it needs
    them, which it must if the command names them and they are *named for it*. *remembers* as of
    `Unlocking`."""
    from pgsnap.repository.sealed.pins import Pins
    from pgsnap.repository.sealed.unlocking import Unlocking

    def openers(config: RepositoryConfig) -> Iterator[Opener]:
        if opener is not None:
            yield opener
        elif sources:
            yield from map(read_secret, sources)
        else:
            yield from _openers(invocation, config)

    needed = sources
    if named_for_it:
        secrets = invocation.settings.secrets
        needed = [one for one in secrets if one.of_option or one.of_environment]
    given = needed[0].origin if needed else ""
    return Unlocking(openers, Pins(pins_folder()), given=given, remembers=remembers)


def new_secret(invocation: Invocation) -> KeyFile | Passphrase:
    """Return the secret for the first slot of a new repository: what settings name, else a
    passphrase that is asked for twice. Raises UsageError, UntrustedPath, Declined."""
    from pgsnap.sealing.wrapping_keys import KeyFile, Passphrase

    for source in invocation.settings.secrets:
        opener = read_secret(source)
        if isinstance(opener, KeyFile | Passphrase):
            return opener
    for opener in _credentials():
        return opener
    return ask_new_passphrase(invocation)


def ask_new_passphrase(invocation: Invocation) -> Passphrase:
    """Ask for a new passphrase twice. Raises Declined, UsageError."""
    from pgsnap.sealing.wrapping_keys import Passphrase

    hint = "Name a file that holds it, mode 0600: export SNAP_PASSPHRASE_FILE=FILE"
    first = _ask(invocation, "New passphrase of the repository: ")
    if first is None:
        raise Declined("nobody can be asked for a passphrase", hint=hint)
    if _ask(invocation, "The same again: ") != first:
        raise UsageError("the two passphrases differ", hint="Run the command again.")
    return Passphrase(first)


def read_secret(source: SecretSource) -> Opener:
    """Return the secret that a setting names. Raises UsageError, UntrustedPath."""
    from pgsnap.sealing.wrapping_keys import Identity, KeyFile, Passphrase

    if source.kind == "passphrase_command":
        return Passphrase(_printed(str(source.value), source.origin))
    data = read_private(Path(source.value), source.origin)
    if source.kind == "key_file":
        return KeyFile(data)
    if source.kind == "identity_file":
        return Identity(data)
    return Passphrase(_first_line(data, source.origin))


def secrets_in_files(invocation: Invocation) -> Iterator[Opener]:
    """Yield the secrets of this run for which no command runs and nobody is asked. Raises
    UsageError, UntrustedPath."""
    for source in invocation.settings.secrets:
        if source.kind != "passphrase_command":
            yield read_secret(source)
    if not invocation.settings.secrets:
        yield from _credentials()


def named_secrets(invocation: Invocation) -> Iterator[Opener]:
    """Yield the secrets of this run for which nobody is asked. Raises UsageError,
    UntrustedPath."""
    if invocation.settings.secrets:
        yield from map(read_secret, invocation.settings.secrets)
    else:
        yield from _credentials()


def _openers(invocation: Invocation, config: RepositoryConfig) -> Iterator[Opener]:
    """Yield the secrets to try, each read only when those before it did not fit."""
    if invocation.settings.secrets:
        yield from map(read_secret, invocation.settings.secrets)
        return
    credentials = list(_credentials())
    yield from credentials
    if invocation.settings.keyring:
        yield from _of_keyring(config)
    elif not credentials:
        yield from _asked(invocation)


def _credentials() -> Iterator[KeyFile | Passphrase]:
    """Yield what systemd passed to the unit (LoadCredential=, systemd.exec(5))."""
    from pgsnap.sealing.wrapping_keys import KeyFile, Passphrase

    folder = os.environ.get(_CREDENTIALS, "")
    if not folder:
        return
    for name in ("snap-key", "snap-passphrase"):
        file = Path(folder) / name
        if file.exists():
            data = read_private(file, f"the credential {name}")
            is_key = name == "snap-key"
            yield KeyFile(data) if is_key else Passphrase(_first_line(data, str(file)))


def _of_keyring(config: RepositoryConfig) -> Iterator[Passphrase]:
    from pgsnap.sealing.wrapping_keys import Passphrase

    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise UsageError(
            "the keyring needs a package that is not installed",
            detail="snap.toml has keyring = true.",
            hint=extras.hint("keyring"),
        ) from None
    try:
        found = keyring.get_password(_KEYRING_SERVICE, config.repository_id)
    except keyring.errors.KeyringError as error:
        raise UsageError("the keyring does not answer", detail=f"{error}.") from None
    if found is None:
        raise UsageError(
            "the keyring has no passphrase of this repository",
            hint=f"Put it there: keyring set {_KEYRING_SERVICE} {config.repository_id}",
        )
    yield Passphrase(found.encode())


def _asked(invocation: Invocation) -> Iterator[Passphrase]:
    from pgsnap.sealing.wrapping_keys import Passphrase

    for attempt in range(_ASKED_AT_MOST):
        again = "Wrong. " if attempt else ""
        found = _ask(invocation, f"{again}Passphrase of the repository: ")
        if not found:
            return
        yield Passphrase(found)


def _ask(invocation: Invocation, question: str) -> bytes | None:
    """Return what the user typed, None if nobody can be asked."""
    console = invocation.console
    can_ask = invocation.asks and not console.json
    return console.terminal.ask_secret(question) if can_ask else None


def _printed(command: str, origin: str) -> bytes:
    """Return the first line that a command prints. It may ask on the terminal."""
    from pgsnap.runners.programs import ended, output

    by_itself = "Run it by itself; it must print the passphrase and end with status 0."
    try:
        child = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE)
    except OSError as error:
        raise UsageError(
            f"the command of {origin} cannot run", detail=f"{error.strerror}."
        ) from None
    data = b""
    with child:
        try:
            for part in output(child):
                data += part
                if len(data) > KEY_FILE_BYTES_MAX:
                    raise UsageError(
                        f"the command of {origin} prints more than a passphrase",
                        detail=f"A secret has at most {KEY_FILE_BYTES_MAX} bytes.",
                        hint=by_itself,
                    )
            status = ended(child)
        finally:
            # One that prints for ever, or that a signal ended the wait for. Else it has ended.
            child.kill()
    if status != 0:
        raise UsageError(f"the command of {origin} failed with status {status}", hint=by_itself)
    return _first_line(data, f"the command of {origin}")


def _first_line(data: bytes, origin: str) -> bytes:
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    if not line:
        raise UsageError(f"{origin} gives no passphrase", detail="Its first line is empty.")
    return line
