"""What every new database has from template0 and the snapshot's database no longer had: the schema
public, the language plpgsql. No dump records that they were dropped."""

from __future__ import annotations

from pgsnap.errors import QueryFailed
from pgsnap.model import Origin
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.preflight import ConnectedRole, Findings

# From this version on, the schema belongs to the owner of the database.
_PUBLIC_IS_THE_OWNERS = 150000
_PUBLIC = "the schema public"
_PLPGSQL = "the language plpgsql"
_DROPS = {_PUBLIC: "DROP SCHEMA public", _PLPGSQL: "DROP EXTENSION plpgsql"}


def dropped_parts(origin: Origin) -> tuple[str, ...]:
    """Return what the database of *origin* lacked; empty for a file, where it is unknown, and for a
    part of a database."""
    properties = origin.properties
    if properties is None or not origin.is_pg_dump or origin.only_schemas:
        return ()
    has_plpgsql = any(extension.name == "plpgsql" for extension in properties.extensions)
    lacks = {_PUBLIC: properties.lacks_public, _PLPGSQL: not has_plpgsql}
    return tuple(part for part, is_gone in lacks.items() if is_gone)


def lacks_plpgsql(origin: Origin) -> bool:
    """Return whether a restore's new database has no plpgsql while it is loaded."""
    return _PLPGSQL in dropped_parts(origin)


def check_template_parts(session: Session, me: ConnectedRole, origin: Origin) -> Findings:
    """Warn of dropped parts that come back: not every role may drop them again."""
    if me.is_superuser:
        return Findings()
    owned = {_PUBLIC} if session.server_version_num >= _PUBLIC_IS_THE_OWNERS else set()
    stay = [part for part in dropped_parts(origin) if part not in owned]
    return Findings(warnings=tuple(map(_comes_back, stay)))


def drop_template_parts(inside: Session, origin: Origin) -> tuple[str, ...]:
    """Drop in the new database of the session *inside* what that of *origin* lacked. Returns what
    we may not drop, as warnings."""
    told = []
    for part in dropped_parts(origin):
        try:
            inside.execute(_DROPS[part])
        except QueryFailed:
            told.append(_comes_back(part))
    return tuple(told)


def _comes_back(part: str) -> str:
    return f"{part} comes back: it had been dropped, which {_DROPS[part]} does again as a superuser"
