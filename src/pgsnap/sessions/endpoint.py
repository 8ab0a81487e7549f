"""Identifies a server and a database, and writes connection strings for it.

Passwords stay out of connection strings, of repr() and of every message: they are passed in the
environment of a child, or only inside this process.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from pgsnap.errors import ConnectionFailed, UsageError
from pgsnap.sessions.dsn import parse_dsn, refuse_misplaced
from pgsnap.sessions.framework_urls import to_libpq
from pgsnap.values import dataclass

PINS: tuple[tuple[str, str], ...] = (
    # Settings that affect the text of rows and definitions. pg_dump itself pins only some of them.
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("xmlbinary", "base64"),
    # Settings that affect how rows and definitions are read back: pg_dump pins neither.
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    # Settings that would end a long transaction prematurely.
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    # A query of the catalogs is many small steps, of which the planner expects many rows: compiling
    # them takes a second, running them takes milliseconds.
    ("jit", "off"),
)
"""Settings of every connection, for sessions and tools alike. client_encoding is not among them: a
dump keeps the encoding of its database, because SQL_ASCII cannot be converted."""

LATER_PINS: tuple[tuple[int, str, str], ...] = ((170000, "transaction_timeout", "0"),)
"""Pins that older servers reject: each with the server_version_num that introduced it."""

TOOL_ENVIRONMENT: Mapping[str, str] = {
    # libpq sends these as separate start-up parameters, which override the options of the
    # connection string; "default" and the empty value mean: send nothing.
    "PGTZ": "default",
    "PGDATESTYLE": "default",
    "PGCLIENTENCODING": "",
    # The standard error of tools is parsed for hints.
    "LC_ALL": "C",
}
"""Variables that every child needs in its environment besides the password."""

CONNECT_TIMEOUT_SECONDS = 30
"""How long to wait for a silent host, unless the user set it."""

KEEPALIVES: tuple[tuple[str, str], ...] = (
    # A silent connection to a host that is gone ends after two minutes, not after two hours as on
    # most systems; and firewalls and NAT on the way do not drop a session that waits for a load. No
    # tcp_user_timeout: it would also end connections to a server that is only slow to read.
    ("keepalives_idle", "60"),
    ("keepalives_interval", "15"),
    ("keepalives_count", "4"),
)
"""For TCP connections, unless the user set them."""

SECRETS_WITHOUT_VARIABLE = (
    "sslpassword",
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
)
"""Secrets that libpq takes only from a connection string or a service file."""


@dataclass(frozen=True)
class Endpoint:
    """A PostgreSQL server and one of its databases, as libpq's keywords.

    What the DSN leaves open stays open: libpq itself reads PG* variables, the service file and the
    password file. *fallbacks* are the values it will find there, needed to name the database.
    *place* names the container that all of this is relative to, "" for this host. *left_out* and
    *schema* are the parameters of a framework's URL that `to_libpq` left out.
    """

    keywords: tuple[tuple[str, str], ...] = ()
    password: str | None = field(default=None, repr=False)
    fallbacks: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    place: str = ""
    left_out: tuple[str, ...] = field(default=(), repr=False, compare=False)
    schema: str = field(default="", repr=False, compare=False)

    @classmethod
    def parse(cls, dsn: str | None, environ: Mapping[str, str]) -> Endpoint:
        """Return the endpoint that *dsn* (a libpq URI or keyword string) and *environ* name.

        Raises UsageError if libpq cannot parse it, or would take a password for something else; the
        text of *dsn* is never repeated.
        """
        translated = to_libpq(dsn or "")
        keywords = parse_dsn(translated.dsn) if dsn is not None else {}
        for name in SECRETS_WITHOUT_VARIABLE:
            if name in keywords:
                raise UsageError(
                    f"{name} cannot be given in the DSN",
                    detail="It would be visible in the arguments of pg_dump and psql.",
                    hint="Put it into a section of ~/.pg_service.conf and name it: service=NAME.",
                )
        password = keywords.pop("password", None)
        keywords.pop("client_encoding", None)
        fallbacks = _fallbacks(keywords, environ)
        refuse_misplaced(fallbacks, "the environment or the service file")
        return cls(
            keywords=tuple(keywords.items()),
            password=password,
            fallbacks=tuple(fallbacks.items()),
            left_out=translated.left_out,
            schema=translated.schema,
        )

    def _value(self, name: str) -> str | None:
        for source in (self.keywords, self.fallbacks):
            for key, value in source:
                if key == name and value:
                    return value
        return None

    @property
    def user(self) -> str:
        """The role that libpq will log in as."""
        return self._value("user") or getpass.getuser()

    @property
    def database(self) -> str:
        """The database that libpq will connect to."""
        return self._value("dbname") or self.user

    @property
    def host(self) -> str:
        """The host, address or socket folder that was given; empty for libpq's own default."""
        return self._value("host") or self._value("hostaddr") or ""

    def with_database(self, name: str) -> Endpoint:
        """Return the same server with another database."""
        kept = tuple(item for item in self.keywords if item[0] != "dbname")
        return replace(self, keywords=(*kept, ("dbname", name)))

    def hasty(self, seconds: int) -> Endpoint:
        """Return the same with a connect timeout of *seconds*, for a silent host."""
        kept = tuple(item for item in self.keywords if item[0] != "connect_timeout")
        return replace(self, keywords=(*kept, ("connect_timeout", str(seconds))))

    def conninfo(
        self,
        *,
        application_name: str,
        options: tuple[tuple[str, str], ...] = PINS,
        client_encoding: str = "",
    ) -> str:
        """Return a keyword string without any password, fit for a command line.

        *options* are settings for the connection; they follow the user's own options, and so
        override them. An empty *client_encoding* is the database's own.
        """
        words = dict(self.keywords)
        words["dbname"] = self.database
        words["options"] = _options(self._value("options") or "", options)
        words["application_name"] = application_name
        words["client_encoding"] = client_encoding
        if self._value("connect_timeout") is None:
            words["connect_timeout"] = str(CONNECT_TIMEOUT_SECONDS)
        for name, value in KEEPALIVES:
            if self._value(name) is None:
                words[name] = value
        return " ".join(f"{key}={_quote(value)}" for key, value in words.items())

    def environment(self) -> dict[str, str]:
        """Return what a child needs in its environment besides what it inherits."""
        secret = {"PGPASSWORD": self.password} if self.password is not None else {}
        return {**TOOL_ENVIRONMENT, **secret}

    def display(self) -> str:
        """Return ``user@host:port/database`` for display, prefixed by the container if any."""
        host = self.host or "local socket"
        port = self._value("port") or "5432"
        where = host if host.startswith("/") else f"{host}:{port}"
        if self.place:
            where = f"container {self.place}" + (f", {where}" if self.host else "")
        return f"{self.user}@{where}/{self.database}"


def _fallbacks(keywords: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values that libpq finds by itself, in its own order: service file before
    variables."""
    variables = {
        "PGHOST": "host",
        "PGHOSTADDR": "hostaddr",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGDATABASE": "dbname",
        "PGOPTIONS": "options",
        "PGCONNECT_TIMEOUT": "connect_timeout",
    }
    found = {key: environ[name] for name, key in variables.items() if environ.get(name)}
    service = keywords.get("service") or environ.get("PGSERVICE")
    if service:
        wanted = {*variables.values(), *(name for name, _ in KEEPALIVES)}
        values = _service(service, environ)
        found.update({key: value for key, value in values.items() if key in wanted})
    return found


def _service(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return one section of the service file; libpq itself reports a missing one."""
    files = []
    if environ.get("PGSERVICEFILE"):
        files.append(Path(environ["PGSERVICEFILE"]))
    elif environ.get("HOME"):
        files.append(Path(environ["HOME"]) / ".pg_service.conf")
    if environ.get("PGSYSCONFDIR"):
        files.append(Path(environ["PGSYSCONFDIR"]) / "pg_service.conf")
    for path in files:
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        values: dict[str, str] = {}
        inside = found = False
        for line in (raw.strip() for raw in lines):
            if line.startswith("["):
                inside = line == f"[{name}]"
                found = found or inside
            elif inside and "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                values[key] = value
        if found:
            return values
    return {}


def _quote(value: str) -> str:
    """Return *value* as a value of a connection string; always quoted, so never ambiguous."""
    if "\0" in value:
        raise ConnectionFailed("a zero byte cannot stand in a connection string")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _options(own: str, settings: tuple[tuple[str, str], ...]) -> str:
    words = [own] if own else []
    for name, value in settings:
        escaped = re.sub(r"([\\\s])", r"\\\1", value)
        words.append(f"-c {name}={escaped}")
    return " ".join(words)
