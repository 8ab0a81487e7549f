"""Real containers for tests: Podman, with an image made of this host's PostgreSQL.

Nothing is fetched: the image holds PostgreSQL's programs, a shell, a few tools and the libraries
that these need. It behaves as the usual images of PostgreSQL do: root is the user of `exec`, the
server runs as "postgres", and POSTGRES_USER and POSTGRES_DB name a role and a database.

Podman wants cgroup version 2 to be mounted, which not every host has. So it runs in a mount
namespace of its own, where it is; what lies in the folder `bin` goes into that namespace.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from support.running.commandline import Result
from support.running.installed import SNAP

IMAGE = "localhost/snap-test-postgres:1"
_TOOLS = (
    "sh", "cat", "sleep", "grep", "df", "mkdir", "chown", "ls", "seq", "env", "tr", "head", "dd",
    "sha256sum", "rm", "id", "printf", "setpriv",
)  # fmt: skip
# As the entry points of images do: the first start makes the cluster, the role and the database.
_ENTRY = """\
#!/bin/sh
set -e
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
data=/var/lib/postgresql/data
as="setpriv --reuid=999 --regid=999 --clear-groups"
if [ ! -e $data/PG_VERSION ]; then
  mkdir -p $data /run/postgresql /var/run/postgresql
  chown 999:999 $data /run/postgresql /var/run/postgresql
  $as initdb --no-sync -E UTF8 --locale=C -A trust -U "$user" -D $data >/dev/null
  [ "$database" = postgres ] ||
    echo "CREATE DATABASE \\"$database\\"" | $as postgres --single -D $data postgres >/dev/null
fi
exec $as postgres -D $data -c fsync=off -c listen_addresses= -c shared_buffers=32MB \\
  -c dynamic_shared_memory_type=mmap
"""
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
_START_SECONDS = 60.0
_serial = itertools.count(1)


class Podman:
    """The engine of one test run. *bin* holds `podman` as tests and snap are to call it."""

    def __init__(self, folder: Path, binaries: Binaries) -> None:
        """Make the engine and the image in *folder*. Raises CalledProcessError."""
        self.folder = folder
        self.bin = folder / "bin"
        self._namespace = subprocess.Popen(
            # It ends with the tests, whatever ends them.
            ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "sh", "-c",
             "mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; echo up; exec sleep 3600"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._namespace.stdout is not None
        self._namespace.stdout.readline()
        self._write_wrapper()
        archive = folder / "image.tar"
        _write_image(archive, folder / "image", binaries)
        self("import", "--change", 'ENTRYPOINT ["/entry"]',
             "--change", f"ENV PATH={_image_path(binaries)}", str(archive), IMAGE)  # fmt: skip
        archive.unlink()

    def _write_wrapper(self) -> None:
        self.bin.mkdir(parents=True)
        wrapper = self.bin / "podman"
        wrapper.write_text(
            "#!/bin/sh\n"
            f'exec nsenter --mount=/proc/{self._namespace.pid}/ns/mnt --wd="$PWD"'
            f" {shutil.which('podman')} --cgroup-manager=cgroupfs --events-backend=none"
            f" --root={self.folder}/storage --runroot={self.folder}/run --tmpdir={self.folder}/tmp"
            ' "$@"\n'
        )
        wrapper.chmod(0o755)

    def __call__(self, *arguments: str, timeout: float = 120) -> str:
        """Run podman, which must succeed; return its output."""
        done = subprocess.run(
            [self.bin / "podman", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def postgres(self, name: str | None = None, *options: str, **environment: str) -> Container:
        """Return a new, running server."""
        name = name or f"snap-test-{os.getpid()}-{next(_serial)}"
        words = [f"--env={key}={value}" for key, value in environment.items()]
        self("run", "--detach", "--cgroups=disabled", "--network=none", *_LIMITS,
             f"--name={name}", *words, *options, IMAGE)  # fmt: skip
        made = Container(self, name)
        made.wait_until_ready()
        return made

    def kill(self, name: str) -> None:
        """Kill a container as a crash would; return at once, its end may take a while.

        `podman kill` waits for the end, and fails where that takes more than a few seconds.
        """
        main = int(self("inspect", "--format={{.State.Pid}}", name))
        assert main
        os.kill(main, signal.SIGKILL)

    def close(self) -> None:
        """End all containers and forget them."""
        self("rm", "--all", "--force", "--time=0")
        self("rmi", "--all", "--force")
        for pid in self._monitors():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._namespace.kill()
        self._namespace.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _monitors(self) -> list[int]:
        """Return the processes that watch ended tools: through Docker's API they stay 5 minutes."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_bytes()
                if b"conmon" in line and f"{self.folder}/".encode() in line:
                    found.append(int(entry.parent.name))
        return found


class Container:
    """One server in a container."""

    def __init__(self, podman: Podman, name: str) -> None:
        self.podman = podman
        self.name = name

    def run(self, *arguments: str) -> str:
        """Run a program inside, which must succeed; return its output."""
        return self.podman("exec", self.name, *arguments)

    def psql(self, sql: str, database: str = "shop", user: str = "shop") -> str:
        return self.run("psql", "-XAtqw", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database,
                        "-c", sql)  # fmt: skip

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            done = subprocess.run(
                [self.podman.bin / "podman", "exec", self.name, "pg_isready", "-q"],
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < deadline, self.podman("logs", self.name)
            time.sleep(0.1)

    def processes(self) -> list[str]:
        """Return the command lines of what runs inside besides the server."""
        script = (
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null && echo; done; exit 0"
        )
        lines = self.run("sh", "-c", script).splitlines()
        return [
            line for line in lines if line.strip() and not re.match(r"postgres|sh -c for|tr ", line)
        ]


def snap(
    container: Container, folder: Path, *arguments: str, **environment: str
) -> subprocess.Popen[str]:
    """Start the installed snap as a user's shell would, with the engine on its PATH."""
    return subprocess.Popen(
        [SNAP, *arguments],
        cwd=folder,
        env={
            "HOME": str(folder),
            "PATH": f"{container.podman.bin}{os.pathsep}{os.environ['PATH']}",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_snap(container: Container, folder: Path, *arguments: str, **environment: str) -> Result:
    child = snap(container, folder, *arguments, **environment)
    out, err = child.communicate(timeout=120)
    return Result(child.returncode, out, err)


def podman_compose(podman: Podman) -> Path:
    """Return a compose client, installed beside the engine; its packages come from the index that
    pip is set up for."""
    wrapper = podman.bin / "podman-compose"
    if wrapper.exists():
        return wrapper
    packages = podman.folder / "packages"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--target", str(packages), "podman-compose>=1.2"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(packages, ignore_errors=True)
        pytest.skip(f"needs podman-compose: {done.stderr.strip()[-300:]}")
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} -m podman_compose "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


# -- the image -------------------------------------------------------------------------------------


def _write_image(archive: Path, tree: Path, binaries: Binaries) -> None:
    tree.mkdir()
    needed = list(_files_of_postgres(binaries))
    programs = [Path(found) for name in _TOOLS if (found := shutil.which(name))]
    loaded = [path for path in needed if os.access(path, os.X_OK) or ".so" in path.name]
    with tarfile.open(archive, "w") as tar:
        files = {*needed, *programs, *_libraries([*loaded, *programs]), Path("/bin/sh")}
        for path in sorted(files):
            tar.add(path.resolve(), str(path), recursive=False)
        for name, content, mode in (
            ("entry", _ENTRY, 0o755),
            ("etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n", 0o644),
            ("etc/group", "root:x:0:\npostgres:x:999:\n", 0o644),
        ):
            file = tree / Path(name).name
            file.write_text(content)
            file.chmod(mode)
            tar.add(file, name)
        for folder, mode in (("tmp", 0o1777), ("run", 0o755), ("proc", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)


def _files_of_postgres(binaries: Binaries) -> Iterator[Path]:
    """Yield the files of the installation, without what only compiles queries (100 MB)."""
    options = ("--sharedir", "--pkglibdir")
    asked = subprocess.run(
        [binaries.program("pg_config"), *options], capture_output=True, text=True, check=True
    )
    for folder in (str(binaries.bindir), *asked.stdout.split()):
        for path in Path(folder).rglob("*"):
            if path.is_file() and "bitcode" not in path.parts and "llvmjit" not in path.name:
                yield path
    yield from (path for path in Path("/usr/share/zoneinfo/Etc").glob("*") if path.is_file())
    yield Path("/usr/share/zoneinfo/UTC")


def _libraries(programs: Iterable[Path]) -> set[Path]:
    done = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    return {Path(found) for found in re.findall(r"(/\S+\.so\S*)(?= \(0x)", done.stdout)}


def _image_path(binaries: Binaries) -> str:
    return f"{binaries.bindir}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
