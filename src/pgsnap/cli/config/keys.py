"""The one declaration of a key of snap.toml: how it is read, and its text in the template,
`--help` and docs/cli.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from pgsnap.cli.text.duration import parse_duration
from pgsnap.cli.text.redact import without_uri
from pgsnap.errors import UsageError
from pgsnap.repository.places.address import Address
from pgsnap.stores.address import is_url, nearly_url, parse
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean

T = TypeVar("T")
D = TypeVar("D")

Reader: TypeAlias = Callable[[Any, str, Path], T]
"""Takes what stands in snap.toml, the words that name it in errors, and the folder of the file.
Raises UsageError."""


@dataclass(frozen=True, slots=True)
class Option:
    """A command-line option that overrides a key; *metavar* is "" for a switch."""

    name: str
    metavar: str
    help: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key of snap.toml.

    *shown* is the value in the template, "" for a key that the template omits; it is printed
    below *comment*. *meaning* is the key's line in docs/cli.md; for keys outside a table *flags*,
    *variables* and *default* are the other columns, if they differ from the names of *option*
    and *variable*, and from *shown*. *keys* are those of a table.
    """

    read: Reader[Any]
    shown: str = ""
    comment: str = ""
    meaning: str = ""
    option: Option | None = None
    flags: str = ""
    variable: str = ""
    variables: str = ""
    default: str = ""
    keys: Mapping[str, Key] | None = None


def key(
    value: D,
    read: Reader[T],
    shown: str = "",
    comment: str = "",
    meaning: str = "",
    option: Option | None = None,
    *,
    flags: str = "",
    variable: str = "",
    variables: str = "",
    default: str = "",
    keys: Mapping[str, Key] | None = None,
    secret: bool = False,
) -> T | D:
    """Declare a dataclass field as a `Key`; *value* is the default if the file lacks it. A
    *secret* is left out of the dataclass's repr."""
    words = (meaning, option, flags, variable, variables, default)
    made = Key(read, shown, comment, *words, keys)
    return cast(T | D, field(default=value, repr=not secret, metadata={Key: made}))


def keys_of(table: type[Any]) -> dict[str, Key]:
    """Return the keys that the fields of the dataclass *table* declare."""
    return {one.name: one.metadata[Key] for one in fields(table) if Key in one.metadata}


def read_keys(
    value: Any, where: str, folder: Path, keys: Mapping[str, Key], table: str
) -> dict[str, Any]:
    """Read the table *value* with *keys*, and return the values by name; *where* names it in
    errors, *table* is its name. Raises UsageError."""
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table: [{table}]")
    known: dict[str, Any] = {}
    for name, content in value.items():
        key = keys.get(name)
        if key is None:
            raise _unknown(name, where, keys, table)
        known[name] = key.read(content, f'"{name}" of {where}', folder)
    return known


def _unknown(key: str, where: str, known: Iterable[str], table: str) -> UsageError:
    from pgsnap.cli.config.snap_toml import KEYS

    if key in KEYS:
        return UsageError(
            f'unknown key "{key}" of {where}',
            detail="What follows a table's head belongs to the table.",
            hint=f'Write "{key}" above [{table}].',
        )
    return unknown_key(f'unknown key "{without_uri(key)}" of {where}', key, known)


def unknown_key(
    message: str, key: str, known: Iterable[str], *, kind: str = "keys", hint: str = ""
) -> UsageError:
    """Return the error for a *key* that is not *known*, suggesting the closest one, else *hint*;
    *kind* is what they are called."""
    names = sorted(known)
    return UsageError(
        message,
        detail=f"Known {kind} are {', '.join(names)}." if names else "",
        hint=did_you_mean(key, names) or hint,
    )


def text(value: Any, where: str, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where} must be a text that is not empty, in quotes")
    return value


def list_of(kind: str, example: str) -> Reader[tuple[str, ...]]:
    """Return a reader of a list of texts; *kind* names them in errors."""

    def read(value: Any, where: str, folder: Path) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise UsageError(f"{where} must be a list of {kind}, such as {example}")
        return tuple(value)

    return read


texts = list_of("texts", '["one", "two"]')


def flag(value: Any, where: str, folder: Path) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false")
    return value


def count(most: int, *, least: int = 0) -> Reader[int]:
    """Return a reader of whole numbers from *least* to *most*."""

    def read(value: Any, where: str, folder: Path) -> int:
        if type(value) is not int or not least <= value <= most:
            raise UsageError(f"{where} must be a whole number from {least} to {most}")
        return value

    return read


def seconds(value: Any, where: str, folder: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UsageError(f'{where} must be a duration such as "10min"')
    return parse_duration(str(value), where)


def choice(*allowed: str) -> Reader[Any]:
    """Return a reader of one of the texts *allowed*."""

    def read(value: Any, where: str, folder: Path) -> str:
        if value not in allowed:
            words = " or ".join(f'"{one}"' for one in allowed)
            raise UsageError(f"{where} must be {words}")
        return str(value)

    return read


def hex_bytes(size: int) -> Reader[bytes]:
    """Return a reader of *size* bytes in hexadecimal."""

    def read(value: Any, where: str, folder: Path) -> bytes:
        try:
            found = bytes.fromhex(text(value, where, folder))
        except ValueError:
            found = b""
        if len(found) != size:
            raise UsageError(f"{where} must be {2 * size} hexadecimal digits, in quotes")
        return found

    return read


def path(value: Any, where: str, folder: Path) -> Path:
    return absolute_path(text(value, where, folder), folder, where)


def absolute_path(named: str, folder: Path, where: str) -> Path:
    """Return `local_path`. Raises UsageError for a URL too."""
    if is_url(named):
        # Only the scheme is shown: any other part of a URL may be a secret.
        scheme = named.partition("://")[0]
        raise UsageError(
            f"{where} is a path, not a URL ({scheme}://...)", hint="Name a path on this machine."
        )
    return local_path(named, folder, where)


def secret_file(value: Any, where: str, folder: Path) -> Path:
    """Return the path of a file that holds a secret. No error shows it: it may be the secret,
    put there by mistake."""
    named = text(value, where, folder)
    if "://" in named or not named.isprintable():
        raise UsageError(
            f"{where} must name a file, not hold the secret itself",
            hint="Write the secret to a file that only you may read (chmod 600), and name that.",
        )
    try:
        return local_path(named, folder, where)
    except UsageError:
        raise UsageError(f"{where} is no path of a file") from None


def address(value: Any, where: str, folder: Path) -> Address:
    """Return the address of a repository: the path of its folder, or the URL of its store. Raises
    UsageError."""
    named = text(value, where, folder)
    if not is_url(named):
        if (scheme := nearly_url(named)) is not None:
            slashes = "three slashes: file:///PATH" if scheme == "file" else "two slashes"
            raise UsageError(
                f"{where} begins as a URL, but not with {scheme}://",
                hint=f"Write it with {slashes}; for a folder of that name, put ./ before it.",
            )
        return local_path(named, folder, where)
    try:
        parse(named)
    except UsageError as error:
        raise UsageError(
            f"{where}: {error.message}", detail=error.detail, hint=error.hint
        ) from None
    return named.rstrip("/")


def local_path(named: str, folder: Path, where: str) -> Path:
    """Resolve *named* relative to *folder*; ~ is the user's home. Raises UsageError."""
    if "\0" in named:
        raise UsageError(f"{where} is no path: it holds a NUL character")
    try:
        return Path(os.path.normpath(folder / Path(named).expanduser()))
    except RuntimeError as error:
        raise UsageError(f'{where} names an unknown user: "{named}"') from error


def owners(value: Any, where: str, folder: Path) -> frozenset[int]:
    """Return the ids of users given by name or number."""
    import pwd

    if not isinstance(value, list) or not all(type(one) in (int, str) for one in value):
        raise UsageError(f'{where} must be a list of users, such as ["backup", 1001]')
    found = set()
    for user in value:
        try:
            found.add(int(user) if str(user).isdecimal() else pwd.getpwnam(user).pw_uid)
        except (KeyError, ValueError):
            raise UsageError(f'{where} names an unknown user: "{user}"') from None
    return frozenset(found)


def links(value: Any, where: str, folder: Path) -> frozenset[Path]:
    return frozenset(absolute_path(one, folder, where) for one in texts(value, where, folder))
