"""An SFTP server on a loopback port: Debian's OpenSSH, run by an ordinary user, and asyncssh's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgsnap.cluster.serveruser import reachable_folder, server_user
from pgsnap.stores.address import Address

_PACKAGES = ("openssh-server", "openssh-sftp-server", "libwrap0")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pgsnap" / "openssh"
_CONFIG = """\
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/client_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
MaxStartups 100
MaxSessions 100
Subsystem sftp {program}
"""


def _unpacked() -> Path:
    """Return the folder with sshd: the system's, or one that Debian's packages were unpacked to."""
    if Path("/usr/sbin/sshd").exists():
        return Path("/")
    if _CACHE.exists():
        return _CACHE
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("needs sshd: install openssh-server")
    _CACHE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        done = subprocess.run(
            ["apt-get", "-q", "download", *_PACKAGES],
            cwd=downloads,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"needs sshd, and `apt-get download` failed: {done.stderr.strip()}")
        made = Path(tempfile.mkdtemp(dir=_CACHE.parent))
        for package in Path(downloads).glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", str(package), str(made)], check=True)
    made.chmod(0o755)
    try:
        made.rename(_CACHE)
    except OSError:
        # Another process was first.
        shutil.rmtree(made)
    return _CACHE


class Server:
    """What both servers have: keys, a home for the client's side, and a folder for objects."""

    user = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.data = folder / "data"
        self.data.mkdir()
        for name in ("host_key", "client_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
            )

    def address(self, path: str = "store", *, port: int | None = None) -> Address:
        return Address(
            "sftp",
            host="127.0.0.1",
            port=port or self.port,
            user=self.user,
            path=f"{self.data}/{path}",
        )

    def knows(self, home: Path, port: int | None = None) -> None:
        """Give *home* the files with which a client logs in to this server."""
        ssh = home / ".ssh"
        ssh.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ssh / "id_ed25519"
        shutil.copy(self.folder / "client_key", key)
        key.chmod(0o600)
        kind, code = (self.folder / "host_key.pub").read_text().split()[:2]
        with (ssh / "known_hosts").open("a") as file:
            file.write(f"[127.0.0.1]:{port or self.port} {kind} {code}\n")


class Sshd(Server):
    """OpenSSH's server, which only the user that runs it can log in to."""

    def __init__(self, folder: Path, settings: str = "", *, program: str = "internal-sftp") -> None:
        super().__init__(folder)
        self._user = server_user()
        self.user = self._user.name if self._user else _own_name()
        self._program = self._installed()
        (folder / "config").write_text(
            f"Port {self.port}\n{settings}{_CONFIG.format(folder=folder, program=program)}"
        )
        if self._user:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._user.uid, self._user.gid)
        self._process: subprocess.Popen[bytes] | None = None

    def _installed(self) -> Path:
        """Return sshd itself, copied to where its user can reach it unless the system has it."""
        root = _unpacked()
        if root == Path("/"):
            return root / "usr/sbin/sshd"
        for path in (root / "usr/sbin/sshd", *root.glob("usr/lib/*/libwrap.so.0")):
            shutil.copy(path, self.folder)
        return self.folder / "sshd"

    def start(self) -> None:
        as_user: dict[str, Any] = {}
        if self._user:
            as_user = {"user": self._user.uid, "group": self._user.gid, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "-D", "-e", "-f", str(self.folder / "config")],
                env={**os.environ, "LD_LIBRARY_PATH": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **as_user,
            )
        wait_for_port(self.port, self.log)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Kill the listener, not the sessions."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def sessions(self) -> list[int]:
        """Return the processes that serve connections."""
        parents: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(path.read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(path.parent.name))
        found = [] if self._process is None else [self._process.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found[1:]

    def close(self) -> None:
        self.stop()


class AsyncsshServer(Server):
    """asyncssh's own server, on a thread."""

    user = "anybody"

    def start(self) -> None:
        import asyncssh

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

        async def listen() -> Any:
            return await asyncssh.listen(
                "127.0.0.1",
                self.port,
                server_host_keys=[str(self.folder / "host_key")],
                authorized_client_keys=str(self.folder / "client_key.pub"),
                sftp_factory=True,
            )

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@contextlib.contextmanager
def folder_for(kind: type[Server]) -> Iterator[Path]:
    """Yield an empty folder that the server's user can reach."""
    under = reachable_folder(Path(tempfile.gettempdir()), server_user())
    with tempfile.TemporaryDirectory(prefix=f"pgsnap-{kind.__name__.lower()}-", dir=under) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def serving(kind: type[Server], **settings: Any) -> Iterator[Any]:
    """Yield a running server of this kind."""
    with folder_for(kind) as folder:
        server: Any = kind(folder, **settings)
        server.start()
        try:
            yield server
        finally:
            server.close()


def use_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SSH look for its files in *home*, and find no agent."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, log: Any = lambda: "", seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, log()
            time.sleep(0.02)
        else:
            return


def _own_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
