"""Turns the database URLs of web frameworks and drivers into URIs that libpq reads.

Frameworks add a driver's name to the scheme, and parameters of their own. What only concerns them
(pools, prepared statements, time-outs of the client) is left out. What concerns encryption or
identity is translated, so that the connection is at least as strict, or refused; never left out.
What nobody is known to write stays, and is named in the error. The table in docs/cli.md, "URLs of
frameworks", lists them.
"""

from __future__ import annotations

import re

from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.values import dataclass

_PLAIN = ("postgresql", "postgres")
_SCHEMES = """
postgresql postgres postgis pgsql psql pg pdo-pgsql ecto timescale timescaledb timescalegis pgx pgx4
pgx5 psycopg psycopg2 asyncpg
"""
_DRIVERS = "psycopg2 psycopg psycopg_async psycopg2cffi asyncpg aiopg pg8000 pygresql"
_URL = regex(
    r"(?P<jdbc>jdbc:)?(?P<scheme>[a-z][a-z0-9-]*)(?:\+(?P<driver>[a-z0-9_]+))?:(?P<rest>//.*|[^/].*)",
    re.IGNORECASE | re.DOTALL,
)
# Parameters that concern only the program that reads them: its pool, its cache of statements, its
# migrations, its own time-outs. Without "_" and "-", in lower case.
_LEFT_OUT_BY = {
    "Prisma": """
        connectionlimit pgbouncer pooltimeout sockettimeout statementcachesize
        singleuseconnections
    """,
    "Rails": """
        pool prepared preparedstatements statementlimit reapingfrequency idletimeout
        checkouttimeout minmessages advisorylocks databasetasks replica migrationspaths
        insertreturning adapter minthreads maxthreads maxconnections minconnections
        keepalive maxage variables
    """,
    "Django": """
        connmaxage connhealthchecks disableserversidecursors atomicrequests autocommit
        engine
    """,
    "SQLAlchemy and asyncpg": """
        preparedstatementcachesize preparedstatementnamefunc commandtimeout poolsize
        maxoverflow poolpreping poolrecycle maxcachedstatementlifetime
        maxcacheablestatementsize
    """,
    "Ecto": """
        timeout queuetarget queueinterval poolcount
    """,
    "JDBC": """
        preparethreshold preparedstatementcachequeries preparedstatementcachesizemib
        rewritebatchedinserts stringtype tcpkeepalive tcpnodelay binarytransfer
        binarytransferenable binarytransferdisable defaultrowfetchsize autosave readonly
        readonlymode preferquerymode loglevel loggerlevel loggerfile escapesyntaxcallmode
        databasemetadatacachefields databasemetadatacachefieldsmib disablecolumnsanitiser
        assumeminserverversion loadbalancehosts hostrecheckseconds cleanupsavepoints
        unknownlength receivebuffersize sendbuffersize maxresultbuffer maxsendbuffersize
        quotereturningidentifiers adaptivefetch adaptivefetchminimum adaptivefetchmaximum
        cancelsignaltimeout allowencodingchanges hideunprivilegedobjects
        logunclosedconnections logservererrordetail groupstartupparameters
        sslresponsetimeout gssresponsetimeout
    """,
    "Node": """
        max min idletimeoutmillis connectiontimeoutmillis uselibpqcompat allowexitonidle
    """,
    "Go": """
        poolmaxconns poolminconns poolmaxconnlifetime poolmaxconnlifetimejitter
        poolmaxconnidletime poolhealthcheckperiod poolminidleconns defaultqueryexecmode
        statementcachecapacity descriptioncachecapacity binaryparameters
        disablepreparedbinaryresult xmigrationstable xmigrationstablequoted
        xstatementtimeout xmultistatement xmultistatementmaxsize
    """,
    "Crystal, PHP, hosting services": """
        initialpoolsize maxpoolsize minpoolsize maxidlepoolsize retryattempts retrydelay
        serverversion charset encoding pooler workaround supa
    """,
    "settings of the session, which are pinned": """
        timezone statementtimeout locktimeout idleintransactionsessiontimeout datestyle
        defaulttransactionreadonly defaulttransactionisolation extrafloatdigits
    """,
}
_LEFT_OUT = frozenset(name for names in _LEFT_OUT_BY.values() for name in names.split())
_SCHEMA_NAMES = ("schema", "currentschema", "schemasearchpath", "searchpath")
_RENAMED = {
    "applicationname": "application_name",
    "connecttimeout": "connect_timeout",
    "logintimeout": "connect_timeout",
    "kerberosservername": "krbsrvname",
    "gssencmode": "gssencmode",
    "channelbinding": "channel_binding",
    "requireauth": "require_auth",
    "sslnegotiation": "sslnegotiation",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
    "sslca": "sslrootcert",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "socketdir": "host",
    "username": "user",
    "database": "dbname",
    "targetservertype": "target_session_attrs",
}
_SESSION_ATTRIBUTES = {
    "any": "any",
    "primary": "primary",
    "master": "primary",
    "secondary": "standby",
    "slave": "standby",
    "prefersecondary": "prefer-standby",
    "preferslave": "prefer-standby",
}
_REFUSED = {
    "sslidentity": "Write the PKCS #12 file as two PEM files and name them: sslcert, sslkey.",
    "sslfactory": "Say with sslmode and sslrootcert what the server has to prove.",
    "sslhostnameverifier": "Say with sslmode what the server has to prove.",
    "sslpasswordcallback": "Put the key's passphrase into ~/.pg_service.conf, as sslpassword.",
    "socketfactory": "Name the host and port as libpq reaches them.",
    "authenticationpluginclassname": "Put the password into PGPASSWORD or ~/.pgpass.",
    "usespnego": "Leave it out if the server accepts another way to log in.",
    "jaaslogin": "Leave it out if the server accepts another way to log in.",
    "jaasapplicationname": "Leave it out if the server accepts another way to log in.",
    "authmethods": "libpq's name for it is require_auth (16 and later).",
    "role": "Write it as options=-c%20role%3DNAME, or log in as that role.",
    "sessionauthorization": "Log in as that role.",
}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_WORDS = {
    **dict.fromkeys(("true", "1", "on", "yes", "no-verify"), "require"),
    **dict.fromkeys(("false", "0", "off", "no"), "disable"),
    **{mode: mode for mode in _SSL_MODES},
}
# As _plain spells them.
_PASSWORDS = ("password", "sslpassword")
_NAME = regex(r"[A-Za-z_][\w.\[\]-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Translated:
    """A DSN as libpq reads it, the names of the parameters that were *left_out*, and the one among
    them, if any, that chose a *schema* in which the framework works."""

    dsn: str
    left_out: tuple[str, ...] = ()
    schema: str = ""


def to_libpq(dsn: str) -> Translated:
    """Return *dsn* without what only frameworks read. Raises UsageError for a parameter about
    encryption or identity that libpq has no equivalent of, and for one that nobody is known to
    write; of *dsn* only that name is repeated."""
    found = _URL.fullmatch(dsn.strip())
    if found is None or not _is_known(found):
        return Translated(dsn)
    rest = found["rest"]
    if not rest.startswith("//"):
        rest = f"///{rest}"
    place, mark, query = rest.partition("?")
    scheme = found["scheme"].lower()
    uri = f"{scheme if scheme in _PLAIN else 'postgresql'}:{place}"
    # An @ behind the question mark: a part of the password is taken for parameters.
    if not mark or "@" in query or not _ends_before_query(place):
        return Translated(uri + mark + query)
    pairs = [_parameter(part) for part in query.split("&") if part]
    reading = _Parameters(dict(pairs), is_java=found["jdbc"] is not None)
    for name, value in pairs:
        reading.take(name, value)
    kept = "&".join(f"{name}={value}" for name, value in reading.kept.items())
    return Translated(f"{uri}?{kept}" if kept else uri, tuple(reading.left_out), reading.schema)


def _is_known(found: re.Match[str]) -> bool:
    scheme, driver = found["scheme"].lower(), (found["driver"] or "").lower()
    if not found["rest"].startswith("//") and not found["jdbc"]:
        return False
    return scheme in _SCHEMES.split() and (not driver or driver in _DRIVERS.split())


def _ends_before_query(place: str) -> bool:
    """Return whether a ? behind *place* can only begin the parameters, never be in a password."""
    place = place.removeprefix("//")
    return "@" in place or "/" in place or ":" not in place


def _parameter(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name, value


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


class _Parameters:
    """The parameters of a URL on their way to libpq; values stay percent-encoded."""

    def __init__(self, given: dict[str, str], *, is_java: bool) -> None:
        self._given = {_plain(name): value for name, value in given.items()}
        self._is_java = is_java
        self.kept: dict[str, str] = {}
        self.left_out: list[str] = []
        self.schema = ""

    def take(self, name: str, value: str) -> None:
        plain = _plain(name)
        inner = re.fullmatch(r"options\[(\w+)\]", name)
        if inner is not None:
            # Settings of the session, one by one.
            plain = _plain(inner[1])
        if plain in ("ssl", "sslaccept") or (plain == "sslfactory" and self._has_weak_factory):
            self._take_encryption(plain, value)
        elif plain in _REFUSED:
            raise UsageError(
                f'libpq has no equivalent of "{name}" in the DSN',
                detail="It concerns encryption or identity, so it cannot be left out.",
                hint=_REFUSED[plain],
            )
        elif plain in _SCHEMA_NAMES:
            self.schema = name
            self.left_out.append(name)
        elif plain in _LEFT_OUT or inner is not None:
            self.left_out.append(name)
        elif plain in _RENAMED:
            self._take_renamed(name, plain, value)
        else:
            self._take_other(name, value)

    @property
    def _has_weak_factory(self) -> bool:
        return self._given.get("sslfactory", "").endswith("NonValidatingFactory")

    def _is_behind_password(self, name: str) -> bool:
        names = list(self._given)
        return any(each in _PASSWORDS for each in names[: names.index(_plain(name))])

    def _take_encryption(self, plain: str, value: str) -> None:
        mode = self._given.get("sslmode", "").lower()
        value = value.lower()
        if plain == "sslfactory":
            self.kept["sslmode"] = mode or "require"
        elif plain == "sslaccept":
            if value not in ("strict", "accept_invalid_certs"):
                raise _bad_value("sslaccept", "strict or accept_invalid_certs")
            if value == "strict" and mode != "disable":
                self.kept["sslmode"] = "verify-full"
        elif mode:
            # The more exact of the two counts.
            return
        elif self._is_java and value in ("", "true"):
            self.kept.setdefault("sslmode", "require" if self._has_weak_factory else "verify-full")
        elif self._is_java and value == "false":
            self.left_out.append(plain)
        elif value in _SSL_WORDS:
            self.kept["sslmode"] = _SSL_WORDS[value]
        else:
            raise _bad_value("ssl", "true, false, or a value of sslmode")

    def _take_renamed(self, name: str, plain: str, value: str) -> None:
        libpq = _RENAMED[plain]
        if libpq == "sslmode":
            if self._given.get("sslaccept", "").lower() == "strict" and value.lower() != "disable":
                value = "verify-full"
            value = "require" if value.lower() == "no-verify" else value.lower()
        elif libpq == "target_session_attrs":
            if value.lower() not in _SESSION_ATTRIBUTES:
                raise _bad_value(name, "any, primary, secondary or preferSecondary")
            value = _SESSION_ATTRIBUTES[value.lower()]
        elif libpq == "sslcert" and "sslaccept" in self._given and "sslkey" not in self._given:
            # Prisma's name for the certificate that the server's is checked against.
            libpq = "sslrootcert"
        self.kept[libpq] = value

    def _take_other(self, name: str, value: str) -> None:
        from psycopg.pq import Conninfo

        known = {option.keyword.decode() for option in Conninfo.get_defaults()}
        if name not in known and _NAME.fullmatch(name):
            if self._is_behind_password(name):
                raise UsageError(
                    "the DSN holds a parameter that libpq does not know",
                    detail="It stands behind the password and may be a part of it, so it is not"
                    " repeated here.",
                    hint="Percent-encode what is special in the password (%26 for &), or take the"
                    " parameter out.",
                )
            raise UsageError(
                f'the DSN holds a parameter that libpq does not know: "{name}"',
                hint="Take it out of the DSN that snap is given, in --dsn or snap.toml, if only"
                " your framework reads it.",
            )
        self.kept[name] = value


def _bad_value(name: str, wanted: str) -> UsageError:
    return UsageError(
        f'"{name}" in the DSN has a value that nobody is known to write',
        detail="It concerns encryption or the choice of a server, so it cannot be left out.",
        hint=f"Write {wanted}.",
    )
