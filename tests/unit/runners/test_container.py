"""The runner of containers on a stand-in engine: the contract, the choice of engine and service.

What only a real container can show is in tests/system.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.runner_contract import RunnerContract
from pgsnap.errors import ConnectionFailed, ToolMissing
from pgsnap.runners.compose import find_service
from pgsnap.runners.container import ContainerRunner
from pgsnap.runners.engines import find_container
from support.restoring.steps import is_alive
from support.running.commandline import SOURCE
from support.servers.engines import Engines

OWNER = """
import sys, time
from pgsnap.runners.container import ContainerRunner
from pgsnap.runners.engines import find_container
runner = ContainerRunner(find_container("db"))
child = runner.start(["sh", "-c", "echo $$; exec sleep 300"], stdin=True)
print(child.read(20).decode().strip(), flush=True)
time.sleep(300)
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    made = Engines(tmp_path / "engines", "docker", "podman")
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    return made


class TestContainerRunner(RunnerContract):
    @pytest.fixture
    def runner(self, engines: Engines) -> ContainerRunner:
        engines.container("podman", "db")
        return ContainerRunner(find_container("db"))


def test_the_engine_that_has_the_container_is_used(engines: Engines) -> None:
    engines.container("podman", "db", POSTGRES_USER="shop")
    engines.container("docker", "db", status="exited")
    found = find_container("db")
    assert (found.engine, found.environment["POSTGRES_USER"]) == ("podman", "shop")
    engines.container("docker", "db")
    with pytest.raises(ConnectionFailed, match="docker and podman both") as caught:
        find_container("db")
    assert "SNAP_CONTAINER_ENGINE" in caught.value.hint
    assert find_container("db", "docker").engine == "docker"


def test_a_container_that_is_not_there_or_stopped_is_told(engines: Engines) -> None:
    engines.container("podman", "db", status="paused")
    with pytest.raises(ConnectionFailed) as caught:
        find_container("db")
    assert "docker: Error: no such container db" in caught.value.detail
    assert "podman: it is paused" in caught.value.detail


def test_without_an_engine_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="neither docker nor podman"):
        find_container("db")
    with pytest.raises(ToolMissing, match="no compose client"):
        find_service("db", folder=tmp_path)


def test_values_of_the_environment_are_in_no_arguments(engines: Engines) -> None:
    engines.container("docker", "db")
    runner = ContainerRunner(find_container("db"), user="postgres")
    child = runner.start(["sh", "-c", 'echo "$PGPASSWORD"'], env={"PGPASSWORD": "geheim"})
    assert child.read(100) == b"geheim\n"
    assert child.wait() == 0
    asked = engines.asked("docker")
    assert "--env PGPASSWORD" in asked
    assert "--user postgres" in asked
    assert "geheim" not in asked


def test_what_runs_inside_dies_with_a_snap_that_is_killed(engines: Engines) -> None:
    engines.container("docker", "db")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert is_alive(pid)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    deadline = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < deadline, "the tool goes on"
        time.sleep(0.05)


def test_a_container_that_goes_away_is_a_lost_place(engines: Engines) -> None:
    engines.container("docker", "db")
    runner = ContainerRunner(find_container("db"))
    (engines.folder / "docker" / "db.json").unlink()
    with pytest.raises(ConnectionFailed, match="nothing can be run in the container db") as caught:
        runner.start(["true"])
    assert "no such container" in caught.value.detail


def test_each_compose_client_is_asked_until_one_has_the_service(
    engines: Engines, tmp_path: Path
) -> None:
    engines.program(
        "docker-compose", "#!/bin/sh\n[ $1 = version ] || { echo 'no daemon' >&2; exit 1; }\n"
    )
    engines.program("podman-compose", "#!/bin/sh\n[ \"$*\" = 'ps -q' ] && echo one two three\n")
    engines.container("podman", "one", service="web")
    engines.container("podman", "two", service="db", status="exited")
    with pytest.raises(ConnectionFailed, match='service "db" is not running') as caught:
        find_service("db", folder=tmp_path)
    assert "docker-compose: no daemon" in caught.value.detail
    engines.container("podman", "three", service="db")
    found = find_service("db", folder=tmp_path)
    assert (found.id, found.name, found.engine) == ("three", "db", "podman")
    engines.container("podman", "two", service="db")
    with pytest.raises(ConnectionFailed, match="runs in 2 containers"):
        find_service("db", folder=tmp_path)


def test_docker_without_compose_is_no_client(engines: Engines, tmp_path: Path) -> None:
    engines.program("docker-compose", "#!/bin/sh\necho 'not a docker command' >&2; exit 1\n")
    with pytest.raises(ToolMissing, match="no compose client"):
        find_service("db", folder=tmp_path)
    engines.program("podman-compose", "#!/bin/sh\n:\n")
    with pytest.raises(ConnectionFailed, match='service "db" is not running') as caught:
        find_service("db", folder=tmp_path)
    assert "docker" not in caught.value.detail
    assert "podman-compose up -d db" in caught.value.hint


def test_docker_compose_is_asked_for_the_service_in_the_file(
    engines: Engines, tmp_path: Path
) -> None:
    file = tmp_path / "stack.yaml"
    engines.program(
        "docker-compose",
        f"#!/bin/sh\n[ \"$*\" = '--file {file} ps -q db' ] && echo one\n",
    )
    engines.container("docker", "one", service="db")
    assert find_service("db", file=file, folder=tmp_path).id == "one"
