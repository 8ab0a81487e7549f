"""A snapshot's origin as canonical JSON: keys sorted, no white space, ASCII.

It is the one stored part that is read by name and not by number: what is in it informs people and
prepares restores, and later versions add to it freely. Unknown keys are ignored.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from pgsnap.errors import CorruptionError
from pgsnap.format.record import too_new
from pgsnap.model import DatabaseProperties, Extension, Origin, ServerInfo, Setting, SourceKind

_Value = TypeVar("_Value")
_LISTS = ("owners", "excluded_table_data", "only_schemas")


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def encode_origin(origin: Origin) -> bytes:
    return canonical_json(_without_defaults(origin))


def _without_defaults(value: Any) -> Any:
    """Return a dataclass as a dict of what differs from its defaults, so that adding a field to
    the model changes no stored byte of what does not use it."""
    if isinstance(value, tuple):
        return [_without_defaults(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return {
        item.name: _without_defaults(getattr(value, item.name))
        for item in dataclasses.fields(value)
        if getattr(value, item.name) != item.default
    }


def decode_origin(data: bytes, what: str) -> Origin:
    try:
        loaded = json.loads(data)
        server, properties = loaded.pop("server", None), loaded.pop("properties", None)
        if loaded["kind"] not in list(SourceKind):
            raise too_new(what, f'It comes from a source of the kind "{loaded["kind"]}".')
        return _build(
            Origin,
            loaded,
            kind=SourceKind(loaded["kind"]),
            server=None if server is None else _build(ServerInfo, server),
            properties=None if properties is None else _properties(properties),
            **{name: tuple(loaded.get(name, ())) for name in _LISTS},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptionError(f"{what} is damaged", detail=f"Its origin: {error!r}.") from None


def decode_system_identifier(data: bytes) -> str:
    """Return the `system_identifier` of a stored origin, without the rest; "" where it has none."""
    try:
        server = json.loads(data).get("server") or {}
        return ServerInfo(0, "", server.get("system_identifier", "")).plain_identifier
    except (ValueError, AttributeError, RecursionError):
        return ""


def _properties(loaded: dict[str, Any]) -> DatabaseProperties:
    acl = loaded.get("acl")
    return _build(
        DatabaseProperties,
        loaded,
        acl=None if acl is None else tuple(acl),
        settings=tuple(_build(Setting, item) for item in loaded.get("settings", ())),
        extensions=tuple(_build(Extension, item) for item in loaded.get("extensions", ())),
        roles=tuple(loaded.get("roles", ())),
    )


def _build(of: type[_Value], loaded: dict[str, Any], **replaced: Any) -> _Value:
    known = {item.name for item in dataclasses.fields(of)}  # type: ignore[arg-type]
    return of(**({key: loaded[key] for key in known & loaded.keys()} | replaced))
