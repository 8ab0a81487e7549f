"""Reads a file of masks, and the secret that it names."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap.cli.config.keys import local_path, secret_file
from pgsnap.cli.config.secret_source import read_private
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.user_folders import config_folder
from pgsnap.errors import UsageError
from pgsnap.files.owned import give, make_folders

if TYPE_CHECKING:
    from pgsnap.masking.masks import Masks

_KEY_BYTES_MIN = 16
_KEY_NAME = "masks.key"
_MASKS_BYTES_MAX = 64 * 1024 * 1024


def load_masks(invocation: Invocation, named: str | None) -> Masks | None:
    """Return the masks of the file that --mask names, with their key; None without the option.
    Raises UsageError, UntrustedPath."""
    return read_masks(invocation, named, "--mask") if named is not None else None


def read_masks(invocation: Invocation, named: str, origin: str) -> Masks:
    """Return the masks of the file *named*, with their key; *origin* names it in errors. Raises
    UsageError, UntrustedPath."""
    from dataclasses import replace

    from pgsnap.masking.masks import parse_masks

    if not named:
        raise UsageError(f"{origin} is empty")
    path = local_path(named, Path.cwd(), origin)
    try:
        with path.open("rb") as file:
            data = file.read(_MASKS_BYTES_MAX + 1)
        if len(data) > _MASKS_BYTES_MAX:
            raise UsageError(f'"{named}" is too large to be a file of masks')
        values = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(
            f'cannot read the masks in "{named}"',
            detail=f"{error.strerror}.",
            hint="Write a first file of masks: snap mask init REV",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{named} is not valid TOML", detail=f"{error}.") from None
    masks = parse_masks(values, named)
    if not masks.needs_key:
        return masks
    if "key_file" not in values:
        raise UsageError(
            f'{named} has "hash", "fake" or "shift", and no "key_file"',
            detail="What they make of a value depends on a secret: without one anybody could try"
            " out which value it was.",
            hint="Make one: (umask 077; openssl rand -hex 32 > masks.key), and name it:"
            ' key_file = "masks.key"',
        )
    return replace(masks, key=_key(invocation, values["key_file"], path.parent, named))


def new_key_file() -> tuple[Path, bool]:
    """Return the user's own key file for masks, and whether it was made now. Raises UsageError."""
    folder = config_folder()
    if folder is None:
        raise UsageError(
            "there is no home folder for the key of the masks", hint="Set HOME, or XDG_CONFIG_HOME."
        )
    path = folder / _KEY_NAME
    try:
        make_folders(folder)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return path, False
    except OSError as error:
        raise UsageError(f'cannot write "{path}"', detail=f"{error.strerror}.") from None
    give(file, folder.stat().st_uid)
    with os.fdopen(file, "w") as written:
        written.write(os.urandom(32).hex() + "\n")
        written.flush()
        os.fsync(written.fileno())
    return path, True


def _key(invocation: Invocation, named: object, folder: Path, where: str) -> bytes:
    origin = f'"key_file" in {where}'
    path = secret_file(named, origin, folder)
    repository = invocation.settings.repository
    if isinstance(repository, Path) and path.resolve().is_relative_to(repository.resolve()):
        raise UsageError(
            f"{origin} is in the repository",
            detail="Who has the snapshots needs no key: it protects the copies, and belongs"
            " elsewhere.",
            hint="Move it out of the repository.",
        )
    key = read_private(path, origin).strip()
    if len(key) < _KEY_BYTES_MIN:
        raise UsageError(
            f"{origin} names a file of less than {_KEY_BYTES_MIN} bytes",
            hint="Make one: (umask 077; openssl rand -hex 32 > masks.key)",
        )
    return key
