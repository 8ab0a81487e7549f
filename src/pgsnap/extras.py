"""Optional packages: the command that adds them to this very installation.

`pip` on PATH is often another Python's, and what pipx or uv made may have none: which command works
depends on how this program was installed.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from pgsnap.patterns import regex
from pgsnap.values import dataclass

_NAME = "pgsnap"
_OF_EXTRA = regex(r"""(?P<package>[^;]+?)\s*;.*\bextra\s*==\s*["'](?P<extra>[\w-]+)["']""")
# What pipx and uv leave in the environments that they make.
_PIPX, _UV = "pipx_metadata.json", "uv-receipt.toml"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where this program runs: its *python*, the environment's folder *prefix*, and *clone*, the
    folder of the sources that it runs from, None if they were installed. *managed*: the system's
    own package manager looks after this Python, and pip refuses without being asked twice."""

    python: str
    prefix: Path
    clone: Path | None
    has_pip: bool
    managed: bool
    requirements: tuple[str, ...]

    @classmethod
    def here(cls) -> Installation:
        """Return the one that this process runs from."""
        # Imported here, as below: only errors need it.
        import sysconfig

        root = Path(__file__).resolve().parents[2]
        is_virtual = sys.prefix != sys.base_prefix
        marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
        return cls(
            python=sys.executable or "python3",
            prefix=Path(sys.prefix),
            clone=root if (root / "pyproject.toml").is_file() else None,
            has_pip=find_spec("pip") is not None,
            managed=not is_virtual and marker.is_file(),
            requirements=_requirements(),
        )

    def command(self, extra: str) -> str | None:
        """Return what adds the packages of *extra* in a shell, None if nothing here can."""
        by_name = shlex.join(self.packages(extra))
        if (self.prefix / _PIPX).is_file():
            return f"pipx inject {shlex.quote(self.prefix.name)} {by_name}"
        has_uv = (self.prefix / _UV).is_file() or shutil.which("uv") is not None
        if not self.has_pip:
            python = shlex.quote(self.python)
            return f"uv pip install --python {python} {by_name}" if has_uv else None
        refused = " --break-system-packages" if self.managed else ""
        if self.clone is not None:
            return f"{self._pip()} install{refused} -e {shlex.quote(f'{self.clone}[{extra}]')}"
        # It takes what is installed for it, from wherever that came.
        return f"{self._pip()} install{refused} {shlex.quote(f'{_NAME}[{extra}]')}"

    def packages(self, extra: str) -> list[str]:
        """Return the requirements of *extra*."""
        found = map(_OF_EXTRA.fullmatch, self.requirements)
        return [match["package"] for match in found if match and match["extra"] == extra]

    def _pip(self) -> str:
        """Return pip's short name where that is the pip of this environment."""
        own = self.prefix / "bin" / "pip"
        found = shutil.which("pip")
        if found is not None and own.exists() and own.samefile(found):
            return "pip"
        return f"{shlex.quote(self.python)} -m pip"


def _requirements() -> tuple[str, ...]:
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return tuple(requires(_NAME) or ())
    except PackageNotFoundError:
        return ()


def hint(extra: str, where: Installation | None = None) -> str:
    """Return the hint of an error for want of the packages of *extra*."""
    installation = where or Installation.here()
    command = installation.command(extra)
    if command is not None:
        return f"Install it: {command}"
    packages = ", ".join(installation.packages(extra))
    return (
        f'Add the extra "{extra}" by what installed this program in {installation.prefix}, which '
        f"has no pip: {packages}."
    )
