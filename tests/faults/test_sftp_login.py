"""Logging in to an SFTP server: by keys of every origin, and never to a host that is not known."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap import interrupts
from pgsnap.errors import ObjectNotFound, StoreError, UsageError
from pgsnap.stores.opening import open_store
from pgsnap.stores.sftp.store import SftpStore
from support.faults.breaking import breaking
from support.servers.sshd import Sshd, free_port, serving, use_home

pytest.importorskip("asyncssh")


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with serving(Sshd) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_home(tmp_path, monkeypatch)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


def refused(store: SftpStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        store.get("config")
    assert caught.value.exit_code == 50
    return caught.value


def works(store: SftpStore) -> bool:
    store.put("a", b"x")
    found = store.get("a") == b"x"
    store.close()
    return found


def fingerprint(server: Sshd) -> str:
    key = str(server.folder / "host_key.pub")
    done = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def test_a_host_that_is_not_known_is_refused_with_its_fingerprint(server: Sshd, home: Path) -> None:
    server.knows(home)
    (home / ".ssh/known_hosts").unlink()
    error = refused(SftpStore(server.address()))
    assert "is not known" in error.message
    assert fingerprint(server) in error.detail
    assert f"`ssh -p {server.port} {server.user}@127.0.0.1`" in error.hint
    assert not (home / ".ssh/known_hosts").exists()


@pytest.mark.parametrize(
    "setting",
    ["UserKnownHostsFile none", "UserKnownHostsFile /dev/null", "StrictHostKeyChecking no"],
)
def test_no_setting_of_ssh_makes_an_unknown_host_a_known_one(
    server: Sshd, home: Path, setting: str
) -> None:
    server.knows(home)
    (home / ".ssh/known_hosts").unlink()
    (home / ".ssh/config").write_text(f"Host *\n  {setting}\n")
    assert "is not known" in refused(SftpStore(server.address())).message


def test_a_host_with_another_key_than_the_known_one_is_refused(server: Sshd, home: Path) -> None:
    server.knows(home)
    known = home / ".ssh/known_hosts"
    other = (server.folder / "client_key.pub").read_text().split()[1]
    known.write_text(f"[127.0.0.1]:{server.port} ssh-ed25519 {other}\n")
    before = known.read_bytes()
    error = refused(SftpStore(server.address()))
    assert "not the one that is known" in error.message
    assert fingerprint(server) in error.detail
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in error.hint
    assert known.read_bytes() == before


@pytest.mark.parametrize("line", ["one-word", "@no-marker host ssh-ed25519 AAAA"])
def test_known_hosts_that_cannot_be_read_are_reported(server: Sshd, home: Path, line: str) -> None:
    server.knows(home)
    with (home / ".ssh/known_hosts").open("a") as file:
        file.write(f"{line}\n")
    assert "known hosts" in refused(SftpStore(server.address())).detail


def test_connections_that_nobody_uses_any_more_are_closed(home: Path) -> None:
    with serving(Sshd) as server:
        server.knows(home)
        for _ in range(3):
            SftpStore(server.address()).put("a", b"x")
        gc.collect()
        deadline = time.monotonic() + 60
        while server.sessions() or list((server.data / "store/tmp").iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_key_that_the_server_does_not_take_is_refused(server: Sshd, home: Path) -> None:
    server.knows(home)
    shutil.copy(server.folder / "host_key", home / ".ssh/id_ed25519")
    error = refused(SftpStore(server.address()))
    assert "cannot log in" in error.message
    assert f"`sftp -P {server.port} {server.user}@127.0.0.1`" in error.hint


def test_keys_come_from_an_agent_with_a_passphrase_or_not(
    server: Sshd, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.knows(home)
    key = home / ".ssh/id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True)
    error = refused(SftpStore(server.address()))
    assert "passphrase" in error.hint
    socket = home / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        shutil.copy(server.folder / "client_key", home / "plain")
        (home / "plain").chmod(0o600)
        subprocess.run(["ssh-add", "-q", str(home / "plain")], check=True)
        assert works(SftpStore(server.address()))
    finally:
        agent.terminate()
        agent.wait()


def test_the_configuration_of_ssh_gives_host_port_user_and_key(server: Sshd, home: Path) -> None:
    server.knows(home)
    (home / ".ssh/id_ed25519").rename(home / "elsewhere")
    (home / ".ssh/config").write_text(
        f"Host backup\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user}\n"
        f"  IdentityFile {home}/elsewhere\n"
    )
    where = replace(server.address("by-alias"), host="backup", port=None, user="")
    assert works(SftpStore(where))


def test_a_jump_host_is_used(server: Sshd, home: Path) -> None:
    server.knows(home)
    with breaking(server.port) as proxy:
        server.knows(home, proxy.port)
        (home / ".ssh/config").write_text(
            f"Host 127.0.0.1\n  ProxyJump {server.user}@localhost:{proxy.port}\n"
        )
        kind, code = (server.folder / "host_key.pub").read_text().split()[:2]
        with (home / ".ssh/known_hosts").open("a") as file:
            file.write(f"[localhost]:{proxy.port} {kind} {code}\n")
        assert works(SftpStore(server.address("jumped")))
        assert proxy.passed[True] > 1000


def test_a_path_below_the_folder_of_the_login(server: Sshd, home: Path) -> None:
    server.knows(home)
    if server.user != "root" and not os.access(Path(f"~{server.user}").expanduser(), os.W_OK):
        pytest.skip("the folder of the login is not writable")
    store = open_store(f"sftp://{server.user}@127.0.0.1:{server.port}/~/pgsnap-none", os.environ)
    with pytest.raises(ObjectNotFound):
        store.get("config")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sftp://me:secret@host/path", "credentials"),
        ("sftp://host", "path of a folder"),
        ("sftp:///path", "names no host"),
        ("sftp://host/a/../b", "path of a folder"),
        ("sftp://host/a%0Ab", "path of a folder"),
        ("sftp://host:x/path", "no URL"),
    ],
)
def test_a_url_that_names_no_folder_is_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_store(url, {})
    assert words in caught.value.message
    assert "secret" not in f"{caught.value.message} {caught.value.detail} {caught.value.hint}"


def test_a_server_that_is_not_there_is_reported_at_once(server: Sshd, home: Path) -> None:
    error = refused(SftpStore(server.address(port=free_port())))
    assert "cannot reach" in error.message
    error = refused(SftpStore(replace(server.address(), host="no-such-host.invalid")))
    assert "cannot reach" in error.message


def test_a_server_without_sftp_is_refused(home: Path) -> None:
    with serving(Sshd, program="/bin/false") as server:
        server.knows(home)
        assert "no SFTP on" in refused(SftpStore(server.address())).message


@pytest.mark.parametrize("denied", ["fsync", "posix-rename", "hardlink"])
def test_a_server_without_what_durable_writes_need_is_refused(home: Path, denied: str) -> None:
    with serving(Sshd, program=f"internal-sftp -P {denied}") as server:
        server.knows(home)
        store = SftpStore(server.address())
        write = store.create if denied == "hardlink" else store.put
        with pytest.raises(StoreError, match="lacks what a repository needs") as caught:
            write("config", b"x")
        assert denied in caught.value.detail
        with pytest.raises(ObjectNotFound):
            store.get("config")
        store.close()


@pytest.fixture
def silent(home: Path) -> Iterator[tuple[SftpStore, Sshd]]:
    """A store whose server does not answer any more."""
    with serving(Sshd) as server:
        server.knows(home)
        store = SftpStore(server.address())
        store.put("a", b"x")
        for pid in (sessions := server.sessions()):
            os.kill(pid, signal.SIGSTOP)
        try:
            yield store, server
        finally:
            for pid in sessions:
                os.kill(pid, signal.SIGCONT)
            store.close()


@pytest.mark.parametrize("is_main", [True, False])
def test_a_server_that_does_not_answer_is_left_with_ctrl_c(
    silent: tuple[SftpStore, Sshd], is_main: bool
) -> None:
    store, server = silent

    def get() -> None:
        if is_main:
            store.get("a")
        else:
            with ThreadPoolExecutor(1) as pool:
                interrupts.result(pool.submit(store.get, "a"))

    with interrupts.handled():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(interrupts.Stopped):
            get()
    for pid in server.sessions():
        os.kill(pid, signal.SIGCONT)
    assert store.get("a") == b"x"
    # A wait for the end of the silence would have cost the connection.
    assert store.counts().repeated == 0
