"""Finds PostgreSQL's server programs on this host. Never installs any: see `installing`."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from pgsnap.errors import ToolMissing
from pgsnap.runners import installed
from pgsnap.runners.base import BINDIR
from pgsnap.runners.programs import run
from pgsnap.values import dataclass

PROGRAMS = ("initdb", "postgres", "pg_ctl", "psql", "pg_dump", "pg_dumpall")
MAJORS = (14, 15, 16, 17, 18, 19)
# Major versions that neither a wheel nor most distributions' packages provide yet.
_UNPACKAGED = (19,)

# The server's user can read what root unpacks here (unlike root's own cache), and nobody else can
# plant programs here for root to run (unlike in a shared temporary folder).
_ROOT_CACHE = Path("/var/cache/pgsnap/postgresql")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One installation of PostgreSQL. *version* is as postgres prints it: 15.18, 18beta1."""

    bindir: Path
    version: str

    @property
    def major(self) -> int:
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    @property
    def order(self) -> tuple[int, ...]:
        """The version as numbers, for comparisons."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.version))

    def program(self, name: str) -> str:
        """Return the path of one of the programs."""
        return str(self.bindir / name)

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} ({self.bindir})"


def find(major: int | None = None, environ: Mapping[str, str] | None = None) -> Binaries:
    """Return the PostgreSQL of *major*, else the newest, from the first place that has one.

    The places: the folders of SNAP_PG_BINDIR, the system's packages, PATH, the cache.
    Raises ToolMissing.
    """
    for found in _by_place(os.environ if environ is None else environ):
        fitting = [one for one in found if major is None or one.major == major]
        if fitting:
            return max(fitting, key=lambda one: one.order)
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise ToolMissing(
        f"no {wanted} server on this host",
        detail=f"Looked for {', '.join(PROGRAMS)} in SNAP_PG_BINDIR, the system's packages, PATH "
        f"and {cache_folder(environ)}.",
        hint=_install_hint(major),
    )


def find_all(environ: Mapping[str, str] | None = None) -> dict[int, Binaries]:
    """Return one PostgreSQL for each major version on this host."""
    chosen: dict[int, Binaries] = {}
    for found in _by_place(os.environ if environ is None else environ):
        for one in sorted(found, key=lambda one: one.order, reverse=True):
            chosen.setdefault(one.major, one)
    return dict(sorted(chosen.items()))


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder for unpacked wheels, with one subfolder per version."""
    environ = os.environ if environ is None else environ
    if environ.get("SNAP_PG_CACHE"):
        return Path(environ["SNAP_PG_CACHE"])
    if os.geteuid() == 0:
        return _ROOT_CACHE
    home = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "pgsnap" / "postgresql"


def examine(bindir: Path) -> Binaries | None:
    """Return the PostgreSQL in *bindir*, or None if a program is missing there.

    Raises ToolMissing if postgres exists but does not run.
    """
    if not all(os.access(bindir / name, os.X_OK) for name in PROGRAMS):
        return None
    done = run([bindir / "postgres", "--version"])
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    match = re.search(r"\(PostgreSQL\) (\d\S*)", out)
    if done.returncode == 0 and match:
        return Binaries(bindir, match[1])
    raise ToolMissing(
        f"the PostgreSQL in {bindir} does not run",
        detail=err.strip() or f"It printed {out.strip()!r}.",
        hint=_libraries_hint(err),
    )


def _by_place(environ: Mapping[str, str]) -> Iterator[list[Binaries]]:
    yield _named(environ.get(BINDIR, ""))
    yield _usable(list(installed.folders(Path("/"))))
    on_path = shutil.which("postgres", path=environ.get("PATH"))
    yield _usable([Path(on_path).resolve().parent] if on_path else [])
    yield _usable(sorted(cache_folder(environ).glob("*/bin")))


def _usable(folders: list[Path]) -> list[Binaries]:
    found = []
    for folder in folders:
        try:
            one = examine(folder)
        except ToolMissing:
            continue
        if one:
            found.append(one)
    return found


def _named(value: str) -> list[Binaries]:
    """Return the installations in SNAP_PG_BINDIR; an unusable one is an error."""
    found = []
    for name in filter(None, value.split(os.pathsep)):
        one = examine(Path(name))
        if one is None:
            raise ToolMissing(
                f"{name} does not hold PostgreSQL's programs",
                detail=f"SNAP_PG_BINDIR names it, and {', '.join(PROGRAMS)} must lie there.",
                hint="Run `unset SNAP_PG_BINDIR`, or name a folder such as "
                "/usr/lib/postgresql/15/bin.",
            )
        found.append(one)
    return found


def _install_hint(major: int | None) -> str:
    if major in _UNPACKAGED:
        return (
            f"Install postgresql-{major} where your system has it (Debian: experimental), or name"
            f" the folder of its programs in {BINDIR}."
        )
    return f"Run `{_install_command(major)}`."


def _install_command(major: int | None) -> str:
    if shutil.which("apt-get"):
        package = "postgresql" if major is None else f"postgresql-{major}"
        return f"apt-get install {package}` as root, or `snap demo --install"
    return "snap demo --install"


def _libraries_hint(stderr: str) -> str:
    if "shared libraries" not in stderr:
        return "Remove that folder and run `snap demo --install`."
    return (
        "Run `apt-get install libssl3 liblz4-1 libzstd1 libxml2 libgssapi-krb5-2 libreadline8` as "
        "root, or their equivalent on this system."
    )
