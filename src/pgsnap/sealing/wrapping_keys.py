"""What a user opens a repository with, and the key that a slot is wrapped with made of it."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import field
from typing import Any, TypeAlias

from pgsnap import extras
from pgsnap.errors import UsageError
from pgsnap.limits import (
    ARGON2_LANES,
    ARGON2_MEMORY_KIB,
    ARGON2_PASSES,
    KEY_FILE_BYTES_MIN,
)
from pgsnap.sealing.keys import KEY_BYTES, hkdf
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A secret that is slow to guess, even with its slot: Argon2id."""

    text: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.text:
            raise UsageError("the passphrase is empty")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of random bytes: nothing to guess."""

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data) < KEY_FILE_BYTES_MIN:
            raise UsageError(
                "the key file is too short",
                detail=f"It has {len(self.data)} bytes; a key has {KEY_FILE_BYTES_MIN} or more.",
                hint="Make one: head -c 32 /dev/urandom > FILE; chmod 600 FILE",
            )


@dataclass(frozen=True, slots=True)
class Identity:
    """The private half of an age key, as age-keygen or ssh-keygen wrote it."""

    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recipient:
    """The public half: who has it can add a slot, not open one."""

    text: str


Opener: TypeAlias = "Passphrase | KeyFile | Identity"
NewOpener: TypeAlias = "Passphrase | KeyFile | Recipient"


@dataclass(frozen=True, slots=True)
class Argon2:
    """How much work a guess of a passphrase is."""

    passes: int = ARGON2_PASSES
    memory_kib: int = ARGON2_MEMORY_KIB
    lanes: int = ARGON2_LANES


def of_passphrase(passphrase: Passphrase, salt: bytes, work: Argon2) -> bytes:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    # A keyboard may write a letter with its accent as one character or as two.
    text = passphrase.text
    with contextlib.suppress(UnicodeDecodeError):
        text = unicodedata.normalize("NFC", text.decode()).encode()
    slow = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=work.passes,
        lanes=work.lanes,
        memory_cost=work.memory_kib,
    )
    return slow.derive(text)


def of_key_file(key_file: KeyFile, salt: bytes) -> bytes:
    return hkdf(key_file.data, salt=salt, info=b"snap key file")


def for_recipient(recipient: Recipient) -> tuple[bytes, bytes]:
    """Return a new random key, and the same encrypted for *recipient*. Raises UsageError."""
    age = _age()
    key = os.urandom(KEY_BYTES)
    try:
        parse = age.ssh if recipient.text.startswith("ssh-") else age.x25519
        return key, age.encrypt(key, [parse.Recipient.from_str(recipient.text)])
    except (age.RecipientError, age.EncryptError, ValueError) as error:
        raise UsageError(
            f'"{recipient.text}" is no recipient of age',
            detail=f"{error}.",
            hint="Give the public key that age-keygen prints, age1..., or an ssh-ed25519 key.",
        ) from None


def by_identity(identity: Identity, encrypted: bytes) -> bytes | None:
    """Return the key that `for_recipient` encrypted, None if *identity* is not the recipient's.
    Raises UsageError."""
    age = _age()
    try:
        found: bytes = age.decrypt(encrypted, list(_identities(age, identity)))
    except age.DecryptError:
        return None
    return found if len(found) == KEY_BYTES else None


def recipient_of(identity: Identity) -> Recipient:
    """Return the public half of an identity. Raises UsageError for an SSH key."""
    age = _age()
    for one in _identities(age, identity):
        if hasattr(one, "to_public"):
            return Recipient(str(one.to_public()))
    raise UsageError(
        "the public half of an SSH key is not known from its private half",
        hint="Give it: snap key rotate --recipient 'ssh-ed25519 ...'",
    )


def _identities(age: Any, identity: Identity) -> Iterator[Any]:
    """Yield what *identity* holds: one SSH key, or lines of age-keygen."""
    try:
        if identity.text.startswith(b"-----BEGIN"):
            yield age.ssh.Identity.from_buffer(identity.text)
            return
        lines = [line.strip() for line in identity.text.decode().splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise ValueError("it holds no key")
        for line in keys:
            yield age.x25519.Identity.from_str(line)
    except (age.IdentityError, UnicodeDecodeError, ValueError) as error:
        # The error of a line must not show the line.
        reason = str(error) if "AGE-SECRET-KEY" not in str(error).upper() else "a line is damaged"
        raise UsageError(
            "the identity file is not one of age or SSH",
            detail=f"{reason[:1].upper()}{reason[1:].rstrip('.')}.",
            hint="Name the file that age-keygen wrote, or an SSH key without a passphrase.",
        ) from None


def _age() -> Any:
    try:
        import pyrage  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise UsageError(
            "recipients and identities of age need a package that is not installed",
            detail="It is pyrage.",
            hint=extras.hint("age"),
        ) from None
    return pyrage
