"""Services stopped around a block run again after it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgsnap.services.commands import Service, own_service, service_named
from pgsnap.services.running import is_running
from pgsnap.services.state import find_stopped
from pgsnap.services.stopping import Outcome, ServiceFailed, start_leftovers, stopped


def app(folder: Path, name: str = "app", **changed: str) -> Service:
    """A service that is a file: it runs while the file is there; what happens to it is logged."""
    flag, log = folder / name, folder / "log"
    flag.touch()
    values = {
        "stop": f"echo stop {name} >> {log}; rm {flag}",
        "start": f"echo start {name} >> {log}; touch {flag}",
        "running": f"test -e {flag}",
        "health": f"test -e {flag}",
        **changed,
    }
    return own_service(name, values, folder, 1.0)


def log_of(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def eventually(check: object) -> None:
    assert callable(check)
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_services_are_stopped_in_the_block_and_started_in_the_opposite_order(
    tmp_path: Path,
) -> None:
    services = [app(tmp_path, "app"), app(tmp_path, "worker"), app(tmp_path, "idle")]
    (tmp_path / "idle").unlink()
    outcome = Outcome()
    with stopped(services, tmp_path / "state", outcome):
        assert log_of(tmp_path) == ["stop app", "stop worker"]
        (found,) = find_stopped(tmp_path / "state")
        assert found.names == ("app", "worker")
        assert found.is_watched
        assert found.path.stat().st_mode & 0o777 == 0o600
    assert log_of(tmp_path)[2:] == ["start worker", "start app"]
    assert outcome.skipped == ["idle"]
    assert [one.is_healthy for one in outcome.started] == [True, True]
    outcome.check()
    assert find_stopped(tmp_path / "state") == ()


def test_an_error_in_the_block_passes_and_the_services_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stopped([app(tmp_path)], tmp_path / "s", Outcome()):
        raise KeyboardInterrupt
    assert log_of(tmp_path) == ["stop app", "start app"]


def test_a_service_that_cannot_be_stopped_ends_it_and_those_before_it_run_again(
    tmp_path: Path,
) -> None:
    services = [app(tmp_path, "app"), app(tmp_path, "bad", stop="echo no >&2; exit 3"),
                app(tmp_path, "last")]  # fmt: skip
    with (
        pytest.raises(ServiceFailed, match="bad cannot be stopped") as failed,
        stopped(services, tmp_path / "s", Outcome()),
    ):
        raise AssertionError("the block must not run")
    assert "status 3: no" in failed.value.detail
    assert log_of(tmp_path) == ["stop app", "start bad", "start app"]
    assert find_stopped(tmp_path / "s") == ()


def test_a_service_that_does_not_start_stays_noted_and_is_told(tmp_path: Path) -> None:
    outcome = Outcome()
    broken = app(tmp_path, "broken", start="exit 9")
    with stopped([broken, app(tmp_path, "ill", health="exit 1")], tmp_path / "s", outcome):
        pass
    with pytest.raises(ServiceFailed, match="ill, broken") as failed:
        outcome.check()
    assert "snap doctor --start-services" in failed.value.hint
    (left,) = find_stopped(tmp_path / "s")
    assert left.names == ("broken",)
    assert not left.is_watched


BLOCK = """
import sys, time, json
from pathlib import Path
from pgsnap.services.commands import Service
from pgsnap.services.stopping import Outcome, stopped
service = Service.from_json(json.loads(sys.argv[2]))
with stopped([service], Path(sys.argv[1]), Outcome()):
    print("in it", flush=True)
    time.sleep(60)
"""


def in_block(folder: Path, service: Service) -> subprocess.Popen[str]:
    """A process that is inside the block."""
    import json

    child = subprocess.Popen(
        [sys.executable, "-c", BLOCK, str(folder / "s"), json.dumps(service.as_json())],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "in it\n"
    return child


def supervisor_of(pid: int) -> int:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            line = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"pgsnap.services.supervisor" in line:
            return int(path.parent.name)
    raise AssertionError("there is no supervisor")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_snap_leaves_its_services_running(tmp_path: Path, number: signal.Signals) -> None:
    child = in_block(tmp_path, app(tmp_path))
    assert not (tmp_path / "app").exists()
    child.send_signal(number)
    child.wait()
    eventually(lambda: (tmp_path / "app").exists() and not find_stopped(tmp_path / "s"))
    assert log_of(tmp_path) == ["stop app", "start app"]


def test_a_supervisor_that_is_told_to_end_starts_the_services_first(tmp_path: Path) -> None:
    child = in_block(tmp_path, app(tmp_path))
    os.kill(supervisor_of(child.pid), signal.SIGTERM)
    eventually(lambda: (tmp_path / "app").exists() and not find_stopped(tmp_path / "s"))
    child.kill()
    child.wait()


def test_a_supervisor_that_dies_inside_the_block_is_replaced_by_snap_itself(
    tmp_path: Path,
) -> None:
    outcome = Outcome()
    with stopped([app(tmp_path)], tmp_path / "s", outcome):
        os.kill(supervisor_of(os.getpid()), signal.SIGKILL)
    outcome.check()
    assert log_of(tmp_path) == ["stop app", "start app"]
    assert find_stopped(tmp_path / "s") == ()


def test_services_of_a_killed_supervisor_are_found_and_started_by_one_call(
    tmp_path: Path,
) -> None:
    child = in_block(tmp_path, app(tmp_path))
    os.kill(supervisor_of(child.pid), signal.SIGKILL)
    child.kill()
    child.wait()
    eventually(lambda: not find_stopped(tmp_path / "s")[0].is_watched)
    assert find_stopped(tmp_path / "s")[0].names == ("app",)
    ((_, started),) = start_leftovers(tmp_path / "s")
    assert [one.is_well for one in started] == [True]
    assert (tmp_path / "app").exists()
    assert start_leftovers(tmp_path / "s") == ()


def test_what_a_start_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    outcome = Outcome()
    service = app(tmp_path, "app", start=f"sleep 30 & echo $! > {tmp_path}/pid; touch app")
    with stopped([service], tmp_path / "s", outcome):
        pass
    outcome.check()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_bare_name_means_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "systemctl"):
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("SNAP_CONTAINER_ENGINE", raising=False)
    (tmp_path / "compose.yaml").write_text("services:\n  strapi:\n    image: x\n")
    assert service_named("strapi", tmp_path).stop == ("docker", "compose", "stop", "strapi")
    assert service_named("web", tmp_path).stop == ("docker", "stop", "web")
    assert service_named("unit:web", tmp_path).start[-2:] == ("start", "web")
    assert service_named("web.service", tmp_path).start[-2:] == ("start", "web.service")


ENGINE = """#!/bin/sh
[ "$1 $2" = "container inspect" ] || exit 1
[ "$3" = --format ] || exit 0
[ "$5" = 3f2a ] && echo 3f2a44
exit 0
"""


def test_a_container_named_by_its_id_is_seen_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text(ENGINE)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SNAP_CONTAINER_ENGINE", "docker")
    assert is_running(service_named("container:3f2a", tmp_path))
    assert not is_running(service_named("container:other", tmp_path))


def test_a_service_that_cannot_be_asked_is_taken_for_running(tmp_path: Path) -> None:
    assert is_running(app(tmp_path, running="no-such-program-anywhere"))
    assert not is_running(app(tmp_path, running="exit 3"))
