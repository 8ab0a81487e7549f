"""database/docker-compose.yml in a real engine, with snap as examples/compose/snap.toml has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.servers.containers import IMAGE, Container, Podman, podman_compose, run_snap

pytestmark = [pytest.mark.system]

ROOT = Path(__file__).resolve().parents[2] / "database"
# As the official image's entry point does with these variables, on its first start.
ENTRY = """\
#!/bin/sh
set -e
data=/var/lib/postgresql/data
as="setpriv --reuid=999 --regid=999 --clear-groups"
if [ ! -e $data/PG_VERSION ]; then
  : "${POSTGRES_PASSWORD:?}"
  mkdir -p $data /run/postgresql /var/run/postgresql
  chown 999:999 $data /run/postgresql /var/run/postgresql
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  chown 999:999 /tmp/password
  $as initdb --no-sync -E UTF8 --locale=C --username="$POSTGRES_USER" --pwfile=/tmp/password \\
    --auth-local=trust --auth-host=scram-sha-256 -D $data >/dev/null
  rm /tmp/password
  echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | $as postgres --single -D $data postgres >/dev/null
fi
exec $as postgres -D $data -c fsync=off -c listen_addresses='*' -c shared_buffers=32MB \\
  -c dynamic_shared_memory_type=mmap
"""
# What this engine cannot do everywhere: networks with names in them, and a process that reaps.
OVERRIDE = """\
services:
  db:
    network_mode: none
  app:
    network_mode: "service:db"
    volumes: ["./hosts:/etc/hosts:ro"]
    init: false
    stop_signal: SIGKILL
"""
WAIT_SECONDS = 60.0


class Compose:
    """A copy of the folder `database`, and its project in the engine."""

    def __init__(self, podman: Podman, folder: Path) -> None:
        self.podman = podman
        self.folder = folder
        self.client = podman_compose(podman)
        folder.mkdir()
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copy(ROOT / "examples" / "compose" / "snap.toml", folder)
        (folder / "override.yml").write_text(OVERRIDE)
        (folder / "hosts").write_text("127.0.0.1 localhost db\n")
        (folder / ".env").write_text("POSTGRES_PASSWORD=s3cret-of-the-test\n")
        self._make_image(folder / "entry")

    def _make_image(self, entry: Path) -> None:
        """Make an image of this host's PostgreSQL with the name that the file uses."""
        entry.write_text(ENTRY)
        entry.chmod(0o755)
        name = f"snap-test-official-{os.getpid()}"
        self.podman("create", "--cgroups=disabled", "--network=none", f"--name={name}", IMAGE)
        self.podman("cp", str(entry), f"{name}:/entry")
        self.podman("commit", "--quiet", name, "docker.io/library/postgres:17")
        self.podman("rm", name)

    def __call__(self, *arguments: str, override: bool = True) -> subprocess.CompletedProcess[str]:
        files = ["-f", "docker-compose.yml", *(["-f", "override.yml"] if override else [])]
        limits = "--cgroups=disabled --ulimit nofile=1024 --ulimit nproc=1024"
        return subprocess.run(
            [self.client, *files, "--in-pod=false", f"--podman-run-args={limits}", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "PATH": f"{self.podman.bin}{os.pathsep}{os.environ['PATH']}",
                # The engine would ask systemd to run the health checks.
                "DISABLE_HC_SYSTEMD": "true",
            },
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ok(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, service: str) -> str:
        """Return what a service wrote, to both of its outputs."""
        command = [self.podman.bin / "podman", "logs", self.container(service)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def container(self, service: str) -> str:
        """Return the id of the container of a service."""
        label = f"--filter=label=com.docker.compose.service={service}"
        return self.podman("ps", "--all", "--quiet", label).strip()

    def await_health(self, service: str) -> None:
        """Run the file's own health check until it passes."""
        deadline = time.monotonic() + WAIT_SECONDS
        check = [self.podman.bin / "podman", "healthcheck", "run", self.container(service)]
        while subprocess.run(check, capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, self.log(service)
            time.sleep(0.1)


def test_the_compose_file_runs_and_a_restore_stops_and_starts_its_application(
    podman: Podman, tmp_path: Path
) -> None:
    compose = Compose(podman, tmp_path / "database")
    (compose.folder / ".env").rename(compose.folder / "aside")
    refused = compose("config", override=False)
    assert refused.returncode != 0
    assert "write it into the file .env" in refused.stderr
    (compose.folder / "aside").rename(compose.folder / ".env")
    try:
        compose.ok("up", "--detach", "db")
        compose.await_health("db")
        compose.ok("up", "--detach", "--no-deps", "app")
        server = Container(podman, compose.container("db"))
        app = compose.container("app")
        deadline = time.monotonic() + WAIT_SECONDS
        # It comes in by the name of the service, with the password.
        while "+00" not in podman("logs", app):
            assert time.monotonic() < deadline, compose.log("app")
            time.sleep(0.1)
        server.psql("CREATE TABLE t AS SELECT g FROM generate_series(1, 10) g")
        folder = compose.folder
        environ = {"DISABLE_HC_SYSTEMD": "true"}
        assert run_snap(server, folder, "init", **environ).code == 0
        committed = run_snap(server, folder, "commit", "-m", "x", "--tag", "ten", **environ)
        assert committed.code == 0, committed.err
        server.psql("DELETE FROM t")
        began = podman("inspect", "--format", "{{.State.StartedAt}}", app)
        words = ("ten", "--yes", "--no-safety-snapshot", "--json")
        restored = run_snap(server, folder, "restore", *words, **environ)
        assert restored.code == 0, restored.err
        services = json.loads(restored.out)["services"]
        assert [(one["name"], one["healthy"]) for one in services] == [("compose:app", True)]
        assert podman("inspect", "--format", "{{.State.StartedAt}}", app) != began
        assert server.psql("SELECT count(*) FROM t").strip() == "10"
    finally:
        compose("down", "--volumes")
