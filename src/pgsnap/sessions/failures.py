"""Interprets a refused connection, with a hint for each cause."""

from __future__ import annotations

import re

from pgsnap.errors import ConnectionFailed
from pgsnap.model import quote_ident
from pgsnap.patterns import regex
from pgsnap.sessions.endpoint import Endpoint

_POOLER_HINT = (
    "Connect directly to PostgreSQL instead of to the pooler in front of it: snap needs settings"
    " of its own in every connection."
)
_NO_SERVER = (
    r"Connection refused|No such file or directory|timeout expired|timed out|No route to host"
    r"|Network is unreachable|could not translate host name|Name or service not known"
    r"|nodename nor servname|failed to resolve host|getaddrinfo"
)
_PASSWORD_HINT = (
    "Give the password in PGPASSWORD, or in a password file of mode 0600 (~/.pgpass or"
    " PGPASSFILE), and check the role with `psql -l`."
)
_HINTS: tuple[tuple[str, str], ...] = (
    (r"unsupported startup parameter|command-line options", _POOLER_HINT),
    (r"password authentication failed|no password supplied|empty password", _PASSWORD_HINT),
    (r"role \".*\" does not exist", "List the roles with `psql -d postgres -c '\\du'`."),
    (r"database \".*\" does not exist", "List the databases with `psql -l`."),
    (
        r"Peer authentication failed|Ident authentication failed",
        "Run snap as the system user of that name, or name a host in the DSN, as in"
        " postgresql://USER@localhost/DATABASE, with the password in ~/.pgpass.",
    ),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", "Allow this client in pg_hba.conf."),
    (
        r"permission denied for database|does not have CONNECT privilege",
        "Run `GRANT CONNECT ON DATABASE {database} TO {user}` as its owner.",
    ),
    (
        r"could not translate host name|Name or service not known|nodename nor servname"
        r"|failed to resolve host|getaddrinfo",
        "Check the name of the host in the DSN or in PGHOST.",
    ),
    (
        r"Connection refused",
        "Check host and port, and that the server listens there: `pg_isready -h HOST -p PORT`.",
    ),
    (
        r"No such file or directory",
        "Check that the server runs and where its socket lies; give its folder as host=/FOLDER.",
    ),
    (
        r"timeout expired|timed out|No route to host|Network is unreachable",
        "Check host, port and firewall: `pg_isready -h HOST -p PORT`.",
    ),
    (
        r"invalid database",
        "It is half-dropped: a DROP DATABASE of it was cut short. Put back a kept one (snap undo"
        " --no-safety-snapshot) or a snapshot (snap restore REV --no-safety-snapshot).",
    ),
    (
        r"not currently accepting connections",
        "Open it: ALTER DATABASE {database} ALLOW_CONNECTIONS true;",
    ),
    (
        r"too many connections for (?:role|database)",
        "It has a CONNECTION LIMIT: see `psql -c 'SELECT datname, datconnlimit FROM pg_database'`"
        " and `psql -c 'SELECT rolname, rolconnlimit FROM pg_roles'`.",
    ),
    (r"too many connections|too many clients|connection slots", "End idle connections, or wait."),
    (r"starting up|shutting down|in recovery mode", "Try again once the server is up."),
    (r"service file|definition of service", "Check PGSERVICE and ~/.pg_service.conf."),
    (r"SSL|certificate", "Check sslmode, sslrootcert and the certificates in the DSN."),
    (
        r"unrecognized configuration parameter|invalid value for parameter"
        r"|invalid command-line argument",
        "Check the options in the DSN and in PGOPTIONS; snap needs PostgreSQL 14 or newer.",
    ),
)
# What differs if all of this is seen from inside a container.
_INSIDE: tuple[tuple[str, str], ...] = (
    (
        r"password authentication failed|no password supplied|empty password",
        "Give the password in PGPASSWORD: it is passed on into the container. Where it is in a"
        " file there (POSTGRES_PASSWORD_FILE), let a shell read it: PGPASSWORD=$(docker exec"
        " CONTAINER sh -c 'cat \"$POSTGRES_PASSWORD_FILE\"') snap ... (or podman exec).",
    ),
    (
        r"Peer authentication failed|Ident authentication failed",
        'Set container_user = "postgres" in snap.toml, or whichever system user is let in.',
    ),
    (
        r"Connection refused|could not translate host name|No such file or directory",
        "Check that the server runs. The DSN is seen from inside the container: leave the host out"
        " of it (and out of DATABASE_URL) for the container's own socket.",
    ),
)
_NOISE = regex(
    r"^(?:psql|pg_dump|pg_dumpall): (?:error: )?"
    r"|^[Cc]onnection (?:failed|is bad): "
    # The severity, in the server's language.
    r"|^[^\s:]+:  +",
    re.M,
)


def connection_failed(text: str, endpoint: Endpoint) -> ConnectionFailed:
    """Return the error for libpq's or a tool's message about a refused connection."""
    lines = [line.strip() for line in _NOISE.sub("", text.strip()).splitlines() if line.strip()]
    detail = "\n".join(lines) or "The connection ended without a word."
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, detail)), "")
    if endpoint.place:
        hint = next((text for words, text in _INSIDE if re.search(words, detail)), hint)
    for key in ("user", "database"):
        hint = hint.replace(f"{{{key}}}", quote_ident(getattr(endpoint, key)))
    return ConnectionFailed(
        f"cannot connect to {endpoint.display()}",
        detail=sentence(_without_secret(detail, endpoint)),
        hint=hint or "Try the same connection with psql.",
    )


def is_answer(error: ConnectionFailed) -> bool:
    """Return whether the server itself refused us, in any language: libpq then passes on its
    severity and message. There is no SQLSTATE before a session begins."""
    return re.search(r" failed: [^\s:]+:  ", error.detail) is not None


def was_never_reached(error: ConnectionFailed) -> bool:
    """Return whether no server answered: nothing else need be tried there. Of several addresses
    (localhost has two) one that answers is enough."""
    return not is_answer(error) and re.search(_NO_SERVER, error.detail) is not None


def connection_lost(text: str, endpoint: Endpoint) -> ConnectionFailed:
    """Return the error for a connection that broke while it was in use."""
    detail = " ".join(_NOISE.sub("", text.strip()).split())
    return ConnectionFailed(
        f"connection to {endpoint.display()} was lost",
        detail=sentence(_without_secret(detail, endpoint)),
        hint="Look into the server's log.",
    )


def options_ignored(endpoint: Endpoint) -> ConnectionFailed:
    """Return the error for a pooler that accepted our options but did not pass them on."""
    return ConnectionFailed(
        f"the settings of the connection to {endpoint.display()} did not reach PostgreSQL",
        detail="Something between snap and the server dropped the connection's options.",
        hint=_POOLER_HINT,
    )


def sentence(text: str) -> str:
    """Return *text* with a capital letter and a period."""
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".!?" else text + "."


def _without_secret(text: str, endpoint: Endpoint) -> str:
    return text.replace(endpoint.password, "***") if endpoint.password else text
