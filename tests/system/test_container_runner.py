"""The runner of containers in a real one: the contracts, and what only a container can do."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contract.runner_contract import RunnerContract, everything
from contract.session_contract import SessionContract
from pgsnap.errors import ConnectionFailed
from pgsnap.runners.base import Runner
from pgsnap.runners.container import ContainerRunner
from pgsnap.runners.engines import find_container
from pgsnap.sessions.base import Session
from pgsnap.sessions.contained import endpoint_inside
from pgsnap.sessions.server import Server
from support.servers.containers import Container, Podman

pytestmark = [pytest.mark.system]


@pytest.fixture(scope="module", autouse=True)
def engine_on_path(podman: Podman) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{podman.bin}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def runner(server: Container) -> ContainerRunner:
    return ContainerRunner(find_container(server.name))


@pytest.fixture(scope="module")
def reached(server: Container, runner: Runner) -> Server:
    server.psql("CREATE DATABASE contract")
    found = find_container(server.name)
    endpoint = endpoint_inside("dbname=contract", {}, found.environment, found.name)
    return Server(endpoint, runner, client="psql")


class TestContainerRunner(RunnerContract):
    pass


class TestPsqlInContainer(SessionContract):
    @pytest.fixture
    def again(self, reached: Server) -> Iterator[Callable[[], Session]]:
        with ExitStack() as stack:
            yield lambda: stack.enter_context(reached.connect())

    @pytest.fixture
    def session(self, again: Callable[[], Session]) -> Session:
        return again()


def test_tools_of_the_servers_own_version_are_found_inside(
    server: Container, runner: ContainerRunner
) -> None:
    version = server.psql("SHOW server_version_num").strip()
    for name in ("pg_dump", "pg_dumpall", "psql"):
        assert runner.find(name, int(version) // 10000).version_num == int(version)


def test_streams_arrive_whole_whoever_is_slow(runner: ContainerRunner) -> None:
    data = os.urandom(1 << 20) * 24
    digest = hashlib.sha256(data).hexdigest().encode()
    child = runner.start(["sh", "-c", "sleep 1; exec sha256sum"], stdin=True)
    child.write(data)
    child.close_input()
    assert everything(child).split()[0] == digest
    child = runner.start(["cat"], stdin=True)
    hashed = hashlib.sha256()
    for start in range(0, len(data), 1 << 19):
        # Both pipes hold this much; what comes back is read late.
        child.write(data[start : start + (1 << 19)])
        left = min(1 << 19, len(data) - start)
        time.sleep(0.02)
        while left:
            got = child.read(left)
            assert got, child.stderr_text()
            hashed.update(got)
            left -= len(got)
    child.close_input()
    assert everything(child) == b""
    assert child.wait() == 0
    assert hashed.hexdigest().encode() == digest


def test_output_that_waits_for_its_reader_is_not_lost(runner: ContainerRunner) -> None:
    child = runner.start(["seq", "1", "2000000"])
    time.sleep(1.5)
    hashed = hashlib.sha256(everything(child)).hexdigest()
    expected = "".join(f"{number}\n" for number in range(1, 2_000_001))
    assert hashed == hashlib.sha256(expected.encode()).hexdigest()
    assert child.wait() == 0


def test_a_kill_acts_inside_and_does_not_crash_the_server(
    server: Container, runner: ContainerRunner
) -> None:
    before = server.psql("SELECT pg_postmaster_start_time(), pid FROM pg_stat_activity"
                         " WHERE backend_type = 'checkpointer'")  # fmt: skip
    # A tool with a child: left behind, the child would fall to the postmaster, which is process 1
    # and takes the death of what it does not know for a crash.
    child = runner.start(["sh", "-c", "sleep 1001; sleep 1002"])
    assert any("sleep 1001" in line for line in server.processes())
    child.kill()
    assert not any("sleep 100" in line for line in server.processes())
    time.sleep(0.3)
    after = server.psql("SELECT pg_postmaster_start_time(), pid FROM pg_stat_activity"
                        " WHERE backend_type = 'checkpointer'")  # fmt: skip
    assert after == before


def test_a_tool_dies_with_its_client(server: Container, runner: ContainerRunner) -> None:
    child = runner.start(["sleep", "1003"])
    os.kill(child._client.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not any("sleep 1003" in line for line in server.processes())


def test_secrets_are_in_no_arguments(server: Container, runner: ContainerRunner) -> None:
    child = runner.start(["sleep", "1004"], env={"PGPASSWORD": "geheim-17"})
    assert b"geheim" not in Path(f"/proc/{child._client.pid}/cmdline").read_bytes()
    assert not any("geheim" in line for line in server.processes())
    child.kill()


def test_the_space_inside_is_measured(runner: ContainerRunner) -> None:
    free = runner.free_bytes("/var/lib/postgresql/data")
    assert free is not None
    assert free > 1 << 20
    assert runner.free_bytes("/nonexistent") is None


def test_a_container_that_does_not_run_is_named(podman: Podman, server: Container) -> None:
    with pytest.raises(ConnectionFailed, match='no container "nosuch"'):
        find_container("nosuch")
    other = podman.postgres()
    runner = ContainerRunner(find_container(other.name))
    podman.kill(other.name)
    podman("wait", other.name)
    with pytest.raises(ConnectionFailed) as caught:
        find_container(other.name)
    assert "it is exited" in caught.value.detail
    assert re.search(rf"`podman start {other.name}`", caught.value.hint)
    with pytest.raises(ConnectionFailed, match="nothing can be run"):
        runner.start(["true"])
    podman("rm", "--force", other.name)


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker client on PATH")
def test_the_docker_client_does_as_podman_does(
    podman: Podman, server: Container, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The real client of Docker, to whom Podman speaks as Docker's daemon does.
    address = f"unix://{tmp_path}/engine.sock"
    with subprocess.Popen([podman.bin / "podman", "system", "service", "--time=0", address]) as api:
        try:
            monkeypatch.setenv("DOCKER_HOST", address)
            while not (tmp_path / "engine.sock").exists():
                time.sleep(0.05)
            runner = ContainerRunner(find_container(server.name, "docker"))
            child = runner.start(["sh", "-c", 'cat; printf "%s" "$A"; exit 7'], env={"A": "b c"},
                                 stdin=True)  # fmt: skip
            child.write(bytes(range(256)))
            child.close_input()
            assert everything(child) == bytes(range(256)) + b"b c"
            assert child.wait() == 7
            child = runner.start(["sleep", "1005"])
            child.kill()
            assert child.wait() == -signal.SIGKILL
            assert not any("sleep 1005" in line for line in server.processes())
        finally:
            api.terminate()
