"""Reads the tables of snap.toml: every key must be known, and a wrong one names its nearest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from pgsnap.cli.text.duration import parse_duration
from pgsnap.errors import UsageError

Reader: TypeAlias = Callable[[Any, str], Any]


def read_keys(value: Any, where: str, readers: Mapping[str, Reader], table: str) -> dict[str, Any]:
    """Return what the *readers* make of the table *value*; *where* names it in errors, *table* is
    its name. Raises UsageError."""
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table: [{table}]")
    known: dict[str, Any] = {}
    for key, content in value.items():
        reader = readers.get(key)
        if reader is None:
            raise _unknown(key, where, readers, table)
        known[key] = reader(content, f'"{key}" of {where}')
    return known


def _unknown(key: str, where: str, readers: Mapping[str, Reader], table: str) -> UsageError:
    from pgsnap.cli.config.file import KEYS

    if key in KEYS:
        return UsageError(
            f'unknown key "{key}" of {where}',
            detail="What follows a table's head belongs to the table.",
            hint=f'Write "{key}" above [{table}].',
        )
    return unknown_key(f'unknown key "{key}" of {where}', key, readers)


def unknown_key(message: str, key: str, known: Iterable[str]) -> UsageError:
    """Return the error for a *key* that is none of the *known* ones, naming its nearest."""
    import difflib

    names = sorted(known)
    nearest = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return UsageError(
        message,
        detail=f"Known keys are {', '.join(names)}.",
        hint=f'Did you mean "{nearest[0]}"?' if nearest else "",
    )


def text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where} must be a text that is not empty, in quotes")
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise UsageError(f'{where} must be a list of texts, such as ["one", "two"]')
    return tuple(value)


def flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false")
    return value


def seconds(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UsageError(f'{where} must be a duration such as "10min"')
    return parse_duration(str(value), where)


def choice(*allowed: str) -> Reader:
    """Return a reader of one of the texts *allowed*."""

    def read(value: Any, where: str) -> str:
        if value not in allowed:
            words = " or ".join(f'"{one}"' for one in allowed)
            raise UsageError(f"{where} must be {words}")
        return str(value)

    return read
