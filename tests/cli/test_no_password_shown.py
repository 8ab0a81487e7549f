"""A password with a mark in it, in every form of a DSN: it shows up nowhere."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pgsnap.cluster.cluster import Cluster
from support.running.breadth import crossed
from support.running.commandline import CommandLine
from support.servers.databases import Database
from support.servers.listener import Listener

MARK = "Zq7Xw"

# Of a password that is not percent-encoded, and of DSNs that are none.
MISWRITTEN = [
    f"postgresql://u:{MARK}/slash@h:5432/d",
    f"postgresql://u:a/{MARK}@h/d",
    f"postgresql://u:12/{MARK}@h/d",
    f"postgresql://u:12/{MARK}@h/d?sslmode=require",
    f"postgresql://u:p@{MARK}@h/d",
    f"postgresql://u:p@{MARK}/x@h/d",
    f"postgresql://u:12?{MARK}@h/d",
    f"postgresql://u:12?user={MARK}@h/d",
    f"postgresql://:{MARK}/x@h/d",
    f"postgresql://u:{MARK}",
    f"postgresql://u:{MARK}/d",
    f"postgresql://u:%ff{MARK}@h/d",
    f"postgresql://u:{MARK}%zz@h/d",
    f"postgresql+asyncpg://u:{MARK}/x@h/d",
    f"postgresql://h/d?sslpassword={MARK}",
    f"postgresql://h:99999{MARK}/d",
    f"host=h dbname=postgresql://u:{MARK}@h/d",
    f"host=h port={MARK} dbname=d",
    f"host=u:{MARK}@h dbname=d",
    f"host=a,{MARK}/x@h dbname=d",
    f"host=@u:{MARK}@h dbname=d",
    f"hostaddr={MARK}@127.0.0.1 dbname=d",
    f"host=h dbname='user=u password={MARK}'",
    f"host=h user='u password={MARK} dbname=d'",
    f"host=h password='{MARK}",
    f"host=h password=a {MARK}",
    f"{MARK}",
]
COMMANDS = [
    ("commit", "-m", "x"),
    ("check",),
    ("doctor",),
    ("log",),
    ("status",),
    ("restore", "latest", "--yes"),
    ("undo", "--yes"),
    ("diff",),
    ("drill",),
    ("init",),
    ("schedule", "run", "commit"),
    ("schedule", "run", "commit", "--all-databases"),
]
# These hold what the user gave, and only the owner may read them.
MAY_HOLD = {"snap.toml", "environment"}


def assert_nowhere(snap: CommandLine, words: str) -> None:
    assert MARK not in words
    for path in snap.folder.rglob("*"):
        if path.is_file() and path.name not in MAY_HOLD:
            assert MARK.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("dsn", MISWRITTEN)
def test_a_password_that_passes_for_something_else_is_not_shown(
    snap: CommandLine, dsn: str
) -> None:
    snap.ok("init")
    (snap.work / "dump.sql").write_text("SELECT 1;\n")
    snap.ok("commit", "-m", "one", "--file", "dump.sql", "--database", "shop")
    snap.setenv("DATABASE_URL", dsn)
    shown = ""
    for command in COMMANDS:
        result = snap(*command)
        shown += result.out + result.err
        assert result.code != 70, result.err
    shown += snap("doctor", "--json").out + snap("check", "-v").err
    misplaced = [("--database", dsn), (dsn,), ("-x", dsn)] if "://" in dsn else []
    for more in (("--dsn", dsn), *misplaced):
        result = snap("commit", "-m", "x", *more)
        shown += result.out + result.err
        assert result.code != 70, result.err
    shown += snap(dsn).err if dsn.startswith("postgres") else ""
    refused = snap("commit", "-m", "x", "--json").error
    assert refused["exit_code"] == 2
    assert refused["hint"]
    assert_nowhere(snap, shown)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGHOST", f"u:{MARK}@h"),
        ("PGHOST", f"postgresql://u:{MARK}@h/d"),
        ("PGHOSTADDR", f"{MARK}@h"),
        ("PGPORT", MARK),
        ("PGDATABASE", f"host=h password={MARK}"),
        ("PGDATABASE", f"postgresql://u:{MARK}@h/d"),
        ("PGUSER", f"u password = '{MARK}'"),
    ],
)
def test_a_password_in_another_variable_is_not_shown(
    snap: CommandLine, name: str, value: str
) -> None:
    snap.ok("init")
    snap.setenv(name, value)
    if name == "PGHOSTADDR":
        # Without a host libpq would not need it.
        snap.setenv("PGHOST", "h")
    shown = ""
    for command in (
        ("commit", "-m", "x", "-v"),
        ("doctor",),
        ("check",),
        ("schedule", "run", "commit"),
    ):
        result = snap(*command)
        shown += result.out + result.err
        assert result.code != 70, result.err
    assert snap("commit", "-m", "x", "--json").error["exit_code"] == 2
    assert_nowhere(snap, shown)


@pytest.mark.parametrize("secret", [f"https://hooks.example/{MARK}", f"hooks.example/{MARK}"])
def test_a_webhook_in_place_of_its_file_is_not_shown(snap: CommandLine, secret: str) -> None:
    snap.ok("init")
    (snap.work / "snap.toml").write_text(f'[alerts]\nwebhook_file = "{secret}"\n')
    snap.setenv("DATABASE_URL", "postgresql://localhost:1/none")
    shown = ""
    for command in (("doctor",), ("check",), ("schedule", "run", "gc"), ("schedule", "show")):
        result = snap(*command)
        shown += result.out + result.err
        assert result.code != 70, result.err
    assert "webhook_file" in shown
    assert_nowhere(snap, shown)


@pytest.fixture
def wrapped(cluster: Cluster, tmp_path: Path) -> Path:
    """A folder of PostgreSQL's programs that write down how they are called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        program = shlex.quote(str(cluster.binaries.program(name)))
        script = folder / name
        script.write_text(
            f'#!/bin/sh\ntr "\\0" " " < /proc/$$/cmdline >> {tmp_path}/calls\nexec {program} "$@"\n'
        )
        script.chmod(0o755)
    return folder


PASSWORD = f"{MARK}/+=@?#:% '\\&"


@pytest.fixture
def login(database: Database) -> Iterator[str]:
    """A role with a marked password of special characters, owner of the database."""
    role = f"role_{database.name}"
    quoted = PASSWORD.replace("'", "''")
    database.psql(
        f"SET standard_conforming_strings = on; CREATE ROLE {role} LOGIN CREATEDB"
        f" PASSWORD '{quoted}'; ALTER DATABASE {database.name} OWNER TO {role};"
        " CREATE TABLE t AS SELECT 1 AS a;"
        f" GRANT pg_read_all_data TO {role}; ALTER TABLE t OWNER TO {role}"
    )
    yield role
    database.psql(
        f"ALTER DATABASE {database.name} OWNER TO CURRENT_USER; DROP OWNED BY {role};"
        f" DROP ROLE {role}"
    )


def _dsns(cluster: Cluster, role: str, name: str) -> list[str]:
    keywords = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    port = cluster.port
    encoded = quote(PASSWORD, safe="")
    return [
        f"postgresql://{role}:{encoded}@127.0.0.1:{port}/{name}",
        f"postgres://{role}@127.0.0.1:{port}/{name}?password={encoded}",
        f"host=127.0.0.1 port={port} user={role} dbname={name} password='{keywords}'",
    ]


@pytest.mark.parametrize(("form", "client"), crossed(range(3), ["psycopg", "psql"]))
def test_a_password_that_is_in_use_is_in_no_output_file_or_argument(
    snap: CommandLine,
    database: Database,
    login: str,
    wrapped: Path,
    form: int,
    client: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[str] = []
    start = subprocess.Popen.__init__

    def seen(self: subprocess.Popen[bytes], args: object, *more: object, **options: object) -> None:
        started.append(repr(args))
        start(self, args, *more, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess.Popen, "__init__", seen)
    dsn = _dsns(database.cluster, login, database.name)[form]
    with Listener() as listener:
        snap.ok("init", *(("--dsn", dsn) if form == 2 else ()))
        (snap.work / "snap.toml").write_text(
            f'bindir = "{wrapped}"\nclient = "{client}"\n[alerts]\n'
            f'webhook = "{listener.url("/hook")}"\non = ["success", "failure", "red"]\n'
            f'ping_url = "{listener.url("/ping")}"\nmetrics_file = "metrics.prom"\n'
        )
        (snap.work / "snap.toml").chmod(0o600)
        snap.setenv("DATABASE_URL", dsn)
        shown = ""
        for command in (
            *(("commit", "-m", "one", "-v"), ("log", "--json"), ("doctor", "-v"), ("check",)),
            *(("diff", "latest"), ("restore", "latest", "--yes", "-v"), ("undo", "--yes")),
            *(("undo", "--discard", "--yes"), ("drill", "--json"), ("audit", "--json")),
            *(("schedule", "run", "commit"), ("schedule", "run", "commit", "--all-databases")),
        ):
            result = snap(*command)
            # Other tests' databases on this server may be closed to the role.
            closed = "--all-databases" in command and "may not connect" in result.err
            assert result.code in (0, 4) or (closed and result.code == 30), result.err
            shown += result.out + result.err
        snap.setenv("DATABASE_URL", dsn.replace(database.name, "gone"))
        for command in (("commit", "-m", "x", "-v"), ("schedule", "run", "commit"), ("doctor",)):
            result = snap(*command)
            assert result.code not in (0, 70)
            shown += result.out + result.err
        requests = listener.requests
    assert len(requests) >= 6
    shown += "".join(request.path + request.body.decode() for request in requests)
    calls = (snap.folder / "calls").read_text()
    assert "pg_dump" in calls
    # The tools of the scheduled run, which is a process of its own, wrote down their calls.
    assert any("pgsnap.cli" in words for words in started)
    assert_nowhere(snap, shown + calls + "".join(started))
