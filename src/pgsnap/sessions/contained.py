"""The endpoint of a database in a container, as seen from inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pgsnap.errors import UsageError
from pgsnap.sessions.endpoint import Endpoint

_DEFAULT_ROLE = "postgres"
# The variables that say who and which database; libpq's others say where, relative to this host.
_PASSED_ON = ("PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS", "PGCONNECT_TIMEOUT")


def endpoint_inside(
    dsn: str | None, environ: Mapping[str, str], inside: Mapping[str, str], place: str
) -> Endpoint:
    """Return the endpoint that *dsn* and *environ* name, for tools in the container *place*.

    *inside* is the environment of the container. The defaults are those of PostgreSQL images: the
    role POSTGRES_USER, the database POSTGRES_DB, and the container's own socket. Raises UsageError.
    """
    role = inside.get("POSTGRES_USER") or _DEFAULT_ROLE
    defaults = {"PGUSER": role, "PGDATABASE": inside.get("POSTGRES_DB") or role}
    ours = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    theirs = {name: value for name, value in inside.items() if name.startswith("PG") and value}
    theirs.pop("PGSERVICE", None)
    found = Endpoint.parse(dsn, {**defaults, **theirs, **ours})
    keywords = dict(found.keywords)
    if "service" in keywords:
        raise UsageError(
            "a service file of this host does not hold in a container",
            hint="Name host, user and database in the DSN itself, as they are seen from there.",
        )
    # What libpq would find by itself on this host is missing in the container.
    keywords.setdefault("user", found.user)
    keywords.setdefault("dbname", found.database)
    password = found.password
    if password is None:
        password = ours.get("PGPASSWORD")
    if password is None and not (found.host or "PGPASSWORD" in theirs or keywords["user"] != role):
        password = inside.get("POSTGRES_PASSWORD") or None
    return replace(found, keywords=tuple(keywords.items()), password=password, place=place)
