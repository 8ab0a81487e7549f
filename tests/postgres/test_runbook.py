"""Every command of the runbook and its sister pages does what the page says, in its order."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from support.documents.runbooks import Reader, provide_zstd
from support.running.commandline import SOURCE, CommandLine
from support.running.cron import daemon_running

DOCS = Path(__file__).parents[2] / "docs"

SHOP = """
CREATE ROLE shop_app LOGIN;
CREATE DATABASE shop OWNER shop_app;
\\connect shop
SET ROLE shop_app;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, email text);
INSERT INTO customers SELECT n, 'customer ' || n, 'c' || n || '@example.com'
    FROM generate_series(1, 200) n;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric);
INSERT INTO orders SELECT n, 1 + n % 200, n * 1.5 FROM generate_series(1, 20000) n;
CREATE TABLE order_items (order_id int REFERENCES orders, sku text, PRIMARY KEY (order_id, sku));
INSERT INTO order_items SELECT n, md5(n::text) FROM generate_series(1, 20000) n;
"""
# What an operator wants back: a migration that goes wrong, twice if it must.
MIGRATE = """#!/bin/sh
psql -X -q -d shop <<'SQL'
DELETE FROM order_items WHERE order_id % 2 = 0;
DELETE FROM orders WHERE id % 2 = 0;
ALTER TABLE customers DROP COLUMN IF EXISTS email;
SQL
"""
# Works like the application's own start and stop.
SERVICE = """#!/bin/sh
case $1 in stop) rm -f web.pid ;; start) touch web.pid ;; status) test -e web.pid ;; esac
"""
# A crontab of its own, so that no test touches that of the user.
CRONTAB = """#!/bin/sh
table="$HOME/crontab"
case "$1" in
-l) [ -f "$table" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$table" ;;
-r) rm -f "$table" ;;
-) cat > "$table" ;;
*) cp "$1" "$table" ;;
esac
"""
SNAP_TOML = """repository = "/mnt/backups/shop"
dsn = "dbname=shop"
database = "shop"

[services.web]
stop = "./web stop"
start = "./web start"
running = "./web status"
health = "./web status"
"""


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def server(binaries: Binaries) -> Iterator[Cluster]:
    """A server of these pages' own: they make and drop roles."""
    with Cluster(binaries, fsync=False) as made:
        yield made


@pytest.fixture
def reader(
    server: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Reader]:
    """Somebody with a database `shop` of 20,000 orders, its application, and snap."""
    snap = CommandLine(tmp_path, monkeypatch, capfd)
    folder = tmp_path / "srv" / "shop"
    for place in (
        "srv/shop/docs",
        "bin",
        "mnt/backups",
        "mnt/bucket",
        "mnt/offsite",
        "var/backups",
    ):
        (tmp_path / place).mkdir(parents=True)
    for name in ("snap", "pgsnap"):
        run = f'#!/bin/sh\nexec "{sys.executable}" -m pgsnap.cli "$@"\n'
        program(tmp_path / "bin" / name, run)
    program(tmp_path / "bin" / "crontab", CRONTAB)
    provide_zstd(tmp_path / "bin")
    program(folder / "web", SERVICE)
    program(folder / "migrate", MIGRATE)
    (folder / "web.pid").touch()
    (folder / "docs" / "rollback.md").write_text((DOCS / "rollback.md").read_text())
    server.psql(SHOP)
    programs = [str(tmp_path / "bin"), str(server.binaries.bindir), os.environ["PATH"]]
    for name, value in {
        "PATH": os.pathsep.join(programs),
        "PYTHONPATH": str(SOURCE),
        "PGHOST": str(server.folder),
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "LC_ALL": "C.UTF-8",
    }.items():
        snap.setenv(name, value)
    with daemon_running():
        yield Reader(snap)
    for name in server.psql("SELECT datname FROM pg_database WHERE datname ~ '^shop'").split():
        server.drop_database(name)
    server.psql("DROP ROLE IF EXISTS shop_app")


def with_a_week_of_backups(reader: Reader) -> None:
    """Set up snap, with a snapshot of a week ago, one before a migration, and what that did."""
    folder = reader.root / "srv" / "shop"
    (folder / "snap.toml").write_text(reader.here(SNAP_TOML))
    week_ago = (datetime.now().astimezone() - timedelta(days=7)).strftime("%Y%m%d_%H%M%S")
    reader.do(
        f"cd /srv/shop && snap init -q && pg_dump shop | gzip > /var/backups/{week_ago}.sql.gz",
        "snap import /var/backups -q",
        "psql -X -q -d shop -c \"UPDATE customers SET name = 'renamed' WHERE id <= 3\"",
        'snap commit -q -m "before 2.0" --tag pre-2.0',
        "./migrate; cd ..",
    )


def test_the_runbook_can_be_followed_word_by_word(reader: Reader) -> None:
    with_a_week_of_backups(reader)
    reader.follow(DOCS / "rollback.md")
    assert len(reader.left_out) <= 3
    report = json.loads((reader.root / "srv/shop/rollback-test-report.json").read_text())
    found = {check["name"]: check["status"] for check in report["checks"]}
    assert found["documentation"] == "passed"


def test_what_is_left_of_a_server_that_is_gone_is_restored_on_another_one(
    reader: Reader, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_week_of_backups(reader)
    page, disaster = DOCS / "rollback.md", "## Disaster recovery"
    reader.do("cd /srv/shop", "snap restore pre-2.0 --yes", "snap undo --discard --yes")
    reader.follow(page, disaster, "2. Bring the copy to it.")
    with Cluster(binaries, fsync=False) as other:
        for name, value in {"PGHOST": other.folder, "PGPORT": other.port}.items():
            monkeypatch.setenv(name, str(value))
        reader.follow(page, "2. Bring the copy to it.", "## Disaster recovery from a remote")
        # The one that is gone is not waited for.
        reader.do("snap check --max-age 1h", "snap restore latest --yes")


def test_the_days_and_months_of_operation_can_be_followed(reader: Reader) -> None:
    with_a_week_of_backups(reader)
    reader.follow(DOCS / "operations.md")
    assert len(reader.left_out) <= 3


def test_a_pg_dump_script_can_be_replaced_step_by_step(reader: Reader) -> None:
    reader.follow(DOCS / "migrating.md")
    assert len(reader.left_out) <= 1
