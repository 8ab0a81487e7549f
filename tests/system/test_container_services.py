"""Services that are containers: stopped around a restore, started again, also when it is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from support.servers.containers import IMAGE, Podman, run_snap, snap

pytestmark = [pytest.mark.system]


def is_running(podman: Podman, name: str) -> bool:
    return podman("inspect", "--format", "{{.State.Status}}", name).strip() == "running"


def test_a_container_is_stopped_for_the_swap_and_runs_after_it_and_after_a_kill(
    podman: Podman, tmp_path: Path
) -> None:
    server = podman.postgres(POSTGRES_USER="shop", POSTGRES_DB="shop")
    name = f"snap-test-app-{os.getpid()}"
    podman("run", "--detach", "--cgroups=disabled", "--network=none", "--ulimit=nofile=1024",
           "--ulimit=nproc=1024", f"--name={name}", "--entrypoint=/bin/sh", IMAGE,
           "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")  # fmt: skip
    try:
        server.psql("CREATE TABLE t AS SELECT g FROM generate_series(1, 10) g")
        assert run_snap(server, tmp_path, "init").code == 0
        (tmp_path / "snap.toml").write_text(
            f'container = "{server.name}"\nengine = "podman"\nservices = ["{name}"]\n'
            "safety_snapshot = false\n"
        )
        assert run_snap(server, tmp_path, "commit", "-m", "ten", "--tag", "ten").code == 0
        server.psql("DELETE FROM t")
        started = podman("inspect", "--format", "{{.State.StartedAt}}", name)
        done = run_snap(server, tmp_path, "restore", "ten", "--yes", "--json")
        assert done.code == 0, done.err
        assert [one["healthy"] for one in json.loads(done.out)["services"]] == [True]
        assert server.psql("SELECT count(*) FROM t").strip() == "10"
        assert podman("inspect", "--format", "{{.State.StartedAt}}", name) != started
        child = snap(server, tmp_path, "undo", "--yes")
        deadline = time.monotonic() + 60
        while is_running(podman, name) and child.poll() is None:
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGKILL)
        child.communicate()
        while not is_running(podman, name):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert server.psql("SELECT 1").strip() == "1"
        missing = run_snap(
            server, tmp_path, "restore", "ten", "--stop", "container:nobody", "--yes"
        )
        assert missing.code == 2
        assert 'there is no container "nobody"' in missing.err
    finally:
        podman("rm", "--force", "--time=0", name, server.name)
