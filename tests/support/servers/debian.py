"""Programs, and extensions for Debian's own PostgreSQL, as Debian packages them: installed where we
are root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries, find_all

_APT = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]


def debian_server() -> Binaries:
    """Return the newest PostgreSQL that came as a Debian package; skip the test without one."""
    found = [one for one in find_all().values() if one.bindir.is_relative_to("/usr/lib/postgresql")]
    if not found:
        pytest.skip("needs PostgreSQL as a Debian package: run `apt-get install postgresql`")
    return max(found, key=lambda one: one.order)


def install_extensions(server: Binaries, packages: dict[str, str]) -> None:
    """Install *packages* of extensions (without ``postgresql-NN-`` before them) for *server*, each
    with the name of a control file that shows whether it is there. Skips where that cannot be."""
    shared = Path(f"/usr/share/postgresql/{server.major}/extension")
    missing = [
        name if name.startswith("pgagent") else f"postgresql-{server.major}-{name}"
        for name, control in packages.items()
        if not (shared / f"{control}.control").exists()
    ]
    if not missing:
        return
    # The server stays as it is: others use it, and may be running it.
    kept = f"postgresql-{server.major}={_installed(f'postgresql-{server.major}')}"
    _install(missing, kept)


def needs_program(name: str) -> None:
    """Install the program *name* from the package of its name if it is missing. Skips where that
    cannot be."""
    if shutil.which(name) is None:
        _install([name])


def _install(missing: Sequence[str], *kept: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"needs Debian's packages: run `apt-get install {' '.join(missing)}`")
    done = _apt(["install", "-y", "--no-install-recommends", *kept, *missing])
    if done.returncode:
        # The lists may be missing, as in a fresh container.
        _apt(["update"])
        done = _apt(["install", "-y", "--no-install-recommends", *kept, *missing])
    if done.returncode:
        reason = " ".join(re.findall(r"^E: .*", done.stderr, re.M)) or f"status {done.returncode}"
        pytest.skip(f"`apt-get install {' '.join(missing)}` failed: {reason}")


def _installed(package: str) -> str:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def _apt(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_APT, *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
