"""A snapshot's origin as canonical JSON: keys sorted, no white space, ASCII.

It is the only stored part whose fields are read by name, not by number: it serves to inform users
and prepare restores, and later versions add to it freely. Unknown keys are ignored.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pgsnap.format.by_name.forms import Form, build, damaged, frozen, load_json
from pgsnap.format.record import too_new
from pgsnap.format.remembered import remembered
from pgsnap.limits import KIB
from pgsnap.model import (
    DatabaseProperties,
    Extension,
    ExtensionMember,
    Origin,
    ServerInfo,
    Setting,
    SourceKind,
)
from pgsnap.patterns import regex

_SOMETHING = regex(r"(?s).+")
_ROLE = r'(?:"(?:[^"]|"")*"|[^"=/]*)'
_OID_MAX = 2**32 - 1
# Snapshots of the same file often have the same origin.
_REMEMBERED = 50
_REMEMBERED_BYTES_MAX = 16 * KIB

FORMS = frozen(
    {
        (ServerInfo, "version_num"): Form(high=99_99_99),
        (ServerInfo, "system_identifier"): Form(pattern=regex(r"[0-9]{0,20}")),
        (ServerInfo, "wal_lsn"): Form(pattern=regex(r"(?:[0-9A-F]{1,8}/[0-9A-F]{1,8})?")),
        (ServerInfo, "database_oid"): Form(high=_OID_MAX),
        (DatabaseProperties, "name"): Form(pattern=_SOMETHING),
        (DatabaseProperties, "owner"): Form(pattern=_SOMETHING),
        (DatabaseProperties, "encoding"): Form(pattern=regex(r"[A-Za-z0-9_]+")),
        (DatabaseProperties, "locale_provider"): Form(pattern=regex(r"[cib]")),
        (DatabaseProperties, "tablespace"): Form(pattern=_SOMETHING),
        # -1: none.
        (DatabaseProperties, "connection_limit"): Form(low=-1, high=2**31 - 1),
        (DatabaseProperties, "acl"): Form(
            pattern=regex(rf"(?s)(?:group )?{_ROLE}=(?:[A-Za-z]\*?)*/{_ROLE}")
        ),
        (DatabaseProperties, "roles"): Form(pattern=_SOMETHING),
        (Setting, "name"): Form(pattern=_SOMETHING),
        (ExtensionMember, "name"): Form(pattern=_SOMETHING),
        (ExtensionMember, "kind"): Form(pattern=regex(r"table|sequence")),
        (Origin, "part"): Form(pattern=regex(r"[a-z-]*")),
        (Setting, "role"): Form(pattern=_SOMETHING),
        (Extension, "name"): Form(pattern=_SOMETHING),
    }
)
"""What the types of the fields do not define."""


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def encode_origin(origin: Origin) -> bytes:
    return as_json(origin)


def as_json(value: Any) -> bytes:
    """Return a dataclass as canonical JSON, without what equals its default."""
    return canonical_json(_without_defaults(value))


def _without_defaults(value: Any) -> Any:
    """Return a dataclass as a dict of what differs from its defaults, so that a new field in the
    model changes no stored byte of objects that do not use it."""
    if isinstance(value, tuple):
        return [_without_defaults(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return {
        item.name: _without_defaults(getattr(value, item.name))
        for item in dataclasses.fields(value)
        if getattr(value, item.name) != item.default
    }


def _decode_origin(data: bytes, what: str) -> Origin:
    """Return the origin in *data*, checked against the model's types and `FORMS`. Raises
    CorruptionError, FormatTooNew."""
    try:
        loaded = load_json(data)
        kinds = [loaded["kind"]] if isinstance(loaded, dict) and "kind" in loaded else []
        if kinds and kinds[0] not in list(SourceKind):
            raise too_new(what, f'It comes from a source of the kind "{kinds[0]}".')
        return build(Origin, loaded, FORMS)
    except ValueError as error:
        raise damaged(what, "origin", error) from None


decode_origin = remembered(_decode_origin, bytes_max=_REMEMBERED_BYTES_MAX, most=_REMEMBERED)


def _decode_system_identifier(data: bytes, _: str) -> str:
    """Return only the `system_identifier` of a stored origin; "" if it has none."""
    try:
        server = load_json(data).get("server") or {}
        return ServerInfo(0, "", server.get("system_identifier", "")).plain_identifier
    except (ValueError, AttributeError):
        return ""


decode_system_identifier = remembered(
    _decode_system_identifier, bytes_max=_REMEMBERED_BYTES_MAX, most=_REMEMBERED
)
