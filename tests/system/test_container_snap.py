"""snap on a database in a container: the whole way, and what a kill or a dead container leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running.commandline import Result
from support.servers.containers import IMAGE, Container, Podman, podman_compose, run_snap, snap

pytestmark = [pytest.mark.system]

ROWS = 30_000
DEADLINE_SECONDS = 60.0
FREEZE_COPY = """
asked="SELECT pid FROM pg_stat_activity WHERE query ILIKE 'COPY %public.orders%'
  AND state = 'active' AND application_name LIKE 'snap %' LIMIT 1"
round=0
while [ $round -lt 2000 ]; do
  pid=$(psql -XAtq -U shop -d postgres -c "$asked")
  if [ "$pid" ]; then kill -s STOP $pid; echo $pid; exit; fi
  round=$((round + 1))
  sleep 0.01
done
"""


class Shop:
    """A database in a container, and a folder with a repository that holds its state "old"."""

    def __init__(self, server: Container, folder: Path) -> None:
        self.server = server
        self.folder = folder
        server.psql("CREATE TABLE orders (id int PRIMARY KEY, state text)")
        self.fill()
        self.ok("init")
        config = folder / "snap.toml"
        config.write_text(f'container = "{server.name}"\n' + config.read_text())
        self.ok("commit", "-m", "old", "--tag", "old")
        self.old = self.digest()

    def fill(self) -> None:
        """Give the table its old rows, 10 MB: more than all pipes hold."""
        self.server.psql(
            "TRUNCATE orders; INSERT INTO orders SELECT g, repeat(md5(g::text), 10)"
            f" FROM generate_series(1, {ROWS}) g"
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return snap(self.server, self.folder, *arguments)

    def run(self, *arguments: str) -> Result:
        return run_snap(self.server, self.folder, *arguments)

    def ok(self, *arguments: str) -> Result:
        result = self.run(*arguments)
        assert result.code == 0, result.err
        return result

    def digest(self) -> str:
        return self.server.psql("SELECT count(*), md5(string_agg(o::text, '' ORDER BY id))"
                                " FROM orders o").strip()  # fmt: skip

    def history(self) -> list[str]:
        return [each["id"] for each in self.ok("log", "--json").json]

    def stopped_in_copy(self, *arguments: str) -> subprocess.Popen[str]:
        """Start snap, and freeze it while rows of the table are on their way."""
        child = self.start(*arguments)
        # It looks from inside, and holds the backend until snap is frozen: then neither is done
        # with the rows, however slow the machine is.
        backend = self.server.run("sh", "-c", FREEZE_COPY).strip()
        assert backend, child.communicate(timeout=60)
        child.send_signal(signal.SIGSTOP)
        self.server.run("sh", "-c", f"kill -s CONT {backend}")
        return child

    def left_inside(self) -> list[str]:
        """Wait until no tool and no session of snap runs inside; return what still does."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        sessions = (
            "SELECT application_name, state, query FROM pg_stat_activity"
            " WHERE application_name LIKE 'snap%'"
        )
        while True:
            found = self.server.processes()
            found += self.server.psql(sessions, database="postgres").splitlines()
            if not found or time.monotonic() > deadline:
                return found


@pytest.fixture(scope="module")
def shop(server: Container, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield Shop(server, tmp_path_factory.mktemp("shop"))
    left = server.psql("SELECT datname FROM pg_database WHERE datname LIKE '%snap%'")
    for name in left.split():
        server.psql(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_commit_break_restore_undo_and_cat(shop: Shop) -> None:
    assert shop.ok("show", "old", "--json").json["database"] == "shop"
    assert shop.run("diff", "old", "--exit-code").code == 0
    shop.server.psql("DELETE FROM orders WHERE id > 10; UPDATE orders SET state = 'broken'")
    broken = shop.digest()
    assert shop.run("diff", "old", "--exit-code").code == 3
    restored = shop.ok("restore", "old", "--yes", "--json").json
    assert restored["database"] == "shop"
    assert shop.digest() == shop.old
    shop.ok("undo", "--yes")
    assert shop.digest() == broken
    shop.ok("restore", "old", "--to", "shop_beside", "--yes")
    count = shop.server.psql("SELECT count(*) FROM orders", database="shop_beside")
    assert int(count) == ROWS
    shop.server.psql("DROP DATABASE shop_beside")
    shop.ok("undo", "--discard", "--yes")
    assert shop.ok("cat", "old", "--section", "data public.orders").out.count("\n") > ROWS
    assert shop.left_inside() == []


def test_a_drill_and_one_table_inside_a_container(shop: Shop) -> None:
    report = shop.ok("drill", "old", "--json").json
    failed = [check for check in report["checks"] if check["status"] == "failed"]
    assert not failed
    shop.ok("restore", "old", "--table", "public.orders", "--yes")
    beside = "SELECT tablename FROM pg_tables WHERE tablename LIKE 'orders\\_\\_%'"
    name = shop.server.psql(beside).strip()
    assert int(shop.server.psql(f'SELECT count(*) FROM "{name}"')) == ROWS
    shop.server.psql(f'DROP TABLE "{name}"')
    assert shop.left_inside() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_commit_leaves_nothing_inside(shop: Shop, number: signal.Signals) -> None:
    shop.fill()
    before = shop.history()
    child = shop.stopped_in_copy("commit", "-m", "killed")
    child.send_signal(number)
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=60)
    assert child.returncode == (-number if number is signal.SIGKILL else 130)
    assert shop.left_inside() == []
    assert shop.history() == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_restore_leaves_the_database_and_nothing_inside(
    shop: Shop, number: signal.Signals
) -> None:
    shop.server.psql("DELETE FROM orders WHERE id > 10")
    live = shop.digest()
    child = shop.stopped_in_copy("restore", "old", "--yes", "--no-safety-snapshot")
    child.send_signal(number)
    child.send_signal(signal.SIGCONT)
    child.communicate(timeout=60)
    assert child.returncode == (-number if number is signal.SIGKILL else 130)
    assert shop.left_inside() == []
    assert shop.digest() == live
    assert shop.ok("commit", "-m", "after").code == 0


def test_a_container_that_dies_in_mid_dump_is_a_failed_dump(podman: Podman, tmp_path: Path) -> None:
    shop = Shop(podman.postgres(POSTGRES_USER="shop", POSTGRES_DB="shop"), tmp_path)
    before = shop.history()
    child = shop.stopped_in_copy("commit", "-m", "cut off")
    # It ends only when its tools have ended, and they wait for snap to read.
    podman.kill(shop.server.name)
    child.send_signal(signal.SIGCONT)
    podman("wait", shop.server.name)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 30, err
    assert shop.history() == before
    podman("rm", "--force", "--time=0", shop.server.name)


COMPOSE = f"""
services:
  web:
    image: localhost/snap-test-web:1
    network_mode: none
  db:
    image: {IMAGE}
    network_mode: none
    environment:
      POSTGRES_USER: shop
      POSTGRES_DB: shop
"""


def test_a_compose_service_is_found_by_its_name(podman: Podman, tmp_path: Path) -> None:
    client = podman_compose(podman)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    podman("tag", IMAGE, "localhost/snap-test-web:1")

    def compose(*arguments: str) -> None:
        done = subprocess.run(
            [client, "--in-pod=false", "--podman-run-args=--cgroups=disabled --ulimit nofile=1024"
             " --ulimit nproc=1024", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{podman.bin}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    compose("up", "--detach", "db", "web")
    try:
        service = "com.docker.compose.service=db"
        found = podman("ps", "--quiet", f"--filter=label={service}").strip()
        server = Container(podman, found)
        server.wait_until_ready()
        server.psql("CREATE TABLE t AS SELECT g FROM generate_series(1, 100) g")
        made = run_snap(server, tmp_path, "init")
        assert '\ncompose = "db"' in (tmp_path / "snap.toml").read_text(), made.err
        committed = run_snap(server, tmp_path, "commit", "-m", "in compose", "--json")
        assert committed.code == 0, committed.err
        assert json.loads(committed.out)["rows"] == 100
        assert run_snap(server, tmp_path, "diff", "latest", "--exit-code").code == 0
        podman("stop", "--time=5", found)
        refused = run_snap(server, tmp_path, "commit", "-m", "stopped")
        assert refused.code == 30
        assert 'the compose service "db" is not running' in refused.err
    finally:
        compose("down")
