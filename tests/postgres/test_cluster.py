"""The private cluster: it works, it is private, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pgsnap.cluster import keeper
from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster, ClusterError
from pgsnap.cluster.serveruser import ServerUser, reachable_folder
from support.servers.databases import Database

OWNER = """
import sys
from pathlib import Path
from pgsnap.cluster.binaries import examine
from pgsnap.cluster.cluster import Cluster
with Cluster(examine(Path(sys.argv[1])), fsync=False) as cluster:
    print(cluster.folder, cluster.pid, flush=True)
    sys.stdin.read()
"""


def test_a_cluster_answers_by_socket_and_by_tcp(cluster: Cluster) -> None:
    assert cluster.psql("SELECT 1") == "1"
    done = subprocess.run(
        [cluster.binaries.program("psql"), "-XAtw", "-c", "SELECT inet_server_port()"],
        env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(cluster.port), "PGUSER": "postgres",
             "PGDATABASE": "postgres", "PGPASSWORD": cluster.password},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) == cluster.port != 5432


def test_a_cluster_is_utf8_whatever_the_environment_says(cluster: Cluster) -> None:
    assert cluster.psql("SHOW server_encoding; SHOW lc_messages") == "UTF8\nC"


def test_a_wrong_password_is_refused_by_tcp(cluster: Cluster) -> None:
    done = subprocess.run(
        [cluster.binaries.program("psql"), "-XAtw", "-d", cluster.dsn(password="no", tcp=True)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "password authentication failed" in done.stderr


def test_scram_by_socket_asks_for_the_password(binaries: Binaries) -> None:
    with Cluster(binaries, fsync=False, auth="scram-sha-256") as guarded:
        assert guarded.psql("SELECT 1") == "1"
        assert guarded.password in guarded.dsn()
        bare = guarded.dsn(user="postgres")
        done = subprocess.run(
            [binaries.program("psql"), "-XAtw", "-d", bare],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "no password supplied" in done.stderr


def test_nobody_else_can_enter_the_folder(cluster: Cluster) -> None:
    assert stat.S_IMODE(cluster.folder.stat().st_mode) == 0o700


def test_a_crashed_cluster_recovers_what_was_committed(own_cluster: Cluster) -> None:
    port = own_cluster.port
    own_cluster.psql("CREATE TABLE t AS SELECT 42 AS answer")
    own_cluster.crash()
    assert not own_cluster.running
    own_cluster.start()
    assert own_cluster.psql("SELECT answer FROM t") == "42"
    assert "not properly shut down" in own_cluster.log_tail(100)
    assert own_cluster.port == port


def test_a_restart_is_clean(own_cluster: Cluster) -> None:
    own_cluster.restart()
    assert own_cluster.psql("SELECT 1") == "1"
    assert "not properly shut down" not in own_cluster.log_tail(100)


def test_a_failing_script_stops_at_its_first_error(database: Database) -> None:
    with pytest.raises(ClusterError) as caught:
        database.psql("CREATE TABLE t (); SELECT 1/0; DROP TABLE t")
    assert "division by zero" in caught.value.detail
    assert database.psql("SELECT count(*) FROM t") == "0"


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(
    binaries: Binaries, tmp_path: Path
) -> None:
    broken = Cluster(binaries, settings={"shared_buffers": "no-number"})
    with pytest.raises(ClusterError) as caught, broken:
        pass
    assert "shared_buffers" in caught.value.detail
    with pytest.raises(ClusterError, match="not created"):
        _ = broken.folder


def test_a_closed_cluster_leaves_no_folder_and_no_process(binaries: Binaries) -> None:
    with Cluster(binaries, fsync=False) as made:
        folder, data = made.folder, str(made.data_folder)
        assert keeper.processes_in(data)
    assert not folder.exists()
    assert not keeper.processes_in(data)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_cluster_dies_with_its_owner(binaries: Binaries, how: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(binaries.bindir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert owner.stdin
    assert owner.stdout
    with owner:
        folder = Path(owner.stdout.readline().split()[0])
        assert keeper.processes_in(str(folder / "data"))
        owner.send_signal(how)
        owner.wait()
        deadline = time.monotonic() + 60
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert not folder.exists()
    assert not keeper.processes_in(str(folder / "data"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run `make test-system` as root")
def test_root_runs_the_server_as_somebody_else(cluster: Cluster) -> None:
    assert os.stat(f"/proc/{cluster.pid}").st_uid != 0  # noqa: PTH116
    status = Path(f"/proc/{cluster.pid}/status").read_text()
    groups = next(line for line in status.splitlines() if line.startswith("Groups:"))
    assert groups.split()[1:] == []


def test_a_folder_that_the_server_user_cannot_enter_is_not_used(tmp_path: Path) -> None:
    # Short, so that a socket in it can be reached.
    closed = Path(tempfile.mkdtemp(prefix="snap-closed-"))
    stranger = ServerUser("stranger", uid=os.geteuid() + 12345, gid=os.getegid() + 12345)
    try:
        assert reachable_folder(closed, stranger) in (Path("/tmp"), Path("/var/tmp"))
        assert reachable_folder(closed, None) == closed
    finally:
        closed.rmdir()
    # Nor one whose path leaves no room for a socket's.
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    assert reachable_folder(deep, None) in (Path("/tmp"), Path("/var/tmp"))
