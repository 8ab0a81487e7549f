"""Runs tools on this host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pgsnap.errors import ToolMissing
from pgsnap.patterns import regex
from pgsnap.runners import installed
from pgsnap.runners.base import Tool
from pgsnap.runners.process import LocalChild, start_child
from pgsnap.runners.programs import run
from pgsnap.words import how_it_ended

_VERSION = regex(r"\) (\d+)(?:\.(\d+))?")
_VERSION_SECONDS = 20.0
# Debian's wrapper on PATH only chooses among the folders that we search ourselves.
_FORWARDER = "pg_wrapper"


class LocalRunner:
    """Runs tools as children of this process; implements `Runner`.

    *bindirs* are searched first. *root* is the root of the system's folders.
    """

    def __init__(self, *bindirs: Path, root: Path = Path("/")) -> None:
        self._bindirs = bindirs
        self._root = root
        # The result per path: a tool, None, or why the file there is unusable.
        self._tools: dict[Path, Tool | str | None] = {}

    def find(self, name: str, major: int | None = None) -> Tool:
        newest: Tool | None = None
        broken = ""
        for folder in self._folders(major):
            tool = self._tool(folder / name)
            if not isinstance(tool, Tool):
                broken = broken or tool or ""
                continue
            if major is None and folder in self._bindirs:
                return tool
            if tool.major == major:
                return tool
            if newest is None or tool.version_num > newest.version_num:
                newest = tool
        if newest is None:
            raise tool_missing(name, major, broken)
        return newest

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bool = False,
        stdout: bool = True,
    ) -> LocalChild:
        try:
            return start_child(argv, env={**os.environ, **(env or {})}, stdin=stdin, stdout=stdout)
        except (FileNotFoundError, PermissionError) as error:
            raise tool_missing(argv[0], None) from error

    def free_bytes(self, path: str) -> int | None:
        # A server's own folder is closed to others; its parents are on the same file system.
        for folder in (Path(path), *Path(path).parents[:-1]):
            try:
                stat = os.statvfs(folder)
            except PermissionError:
                continue
            except OSError:
                return None
            return stat.f_bavail * stat.f_frsize
        return None

    def _folders(self, major: int | None) -> Iterator[Path]:
        """Yield the folders that may have programs: the requested major version first, then PATH,
        then all others."""
        yield from self._bindirs
        if major is not None:
            yield from installed.folders(self._root, major)
        for entry in os.environ.get("PATH", os.defpath).split(os.pathsep):
            if entry:
                yield Path(entry)
        yield from installed.folders(self._root)

    def _tool(self, path: Path) -> Tool | str | None:
        if path not in self._tools:
            usable = os.access(path, os.X_OK) and path.resolve().name != _FORWARDER
            self._tools[path] = _ask_version(path) if usable else None
        return self._tools[path]


def _ask_version(path: Path) -> Tool | str:
    """Return the program at *path*, or why it cannot be used."""
    question = f"{path} --version"
    try:
        answer = run([path, "--version"], timeout=_VERSION_SECONDS)
    except TimeoutError:
        return f"{question} took longer than {_VERSION_SECONDS:.0f} seconds."
    except OSError as error:
        return f"{question}: {error}."
    if answer.returncode != 0:
        said = answer.stderr.decode("utf-8", "replace").strip()
        return f"{question} {how_it_ended(answer.returncode)}. {said}".strip()
    line = answer.stdout.decode("utf-8", "replace").strip()
    version_num = parse_version(line)
    if version_num is None:
        return f'{question} prints no version: "{line}".'
    return Tool(name=path.name, path=str(path), version_num=version_num, version_line=line)


def parse_version(line: str) -> int | None:
    """Return server_version_num for a line such as ``pg_dump (PostgreSQL) 15.18``, or None."""
    match = _VERSION.search(line)
    return int(match[1]) * 10000 + int(match[2] or 0) if match else None


def tool_missing(name: str, major: int | None, broken: str = "") -> ToolMissing:
    """Return the error for a program that is missing, or *broken*, with the command that installs
    it."""
    package = "postgresql-client" if major is None else f"postgresql-client-{major}"
    instead = "or put the folder of PostgreSQL's programs into PATH."
    if broken:
        return ToolMissing(
            f"{Path(name).name} does not work",
            detail=broken,
            hint=f"Run `apt install --reinstall {package}`, {instead}",
        )
    return ToolMissing(
        f"{Path(name).name} is not installed",
        detail=f"Nothing runs at {name}." if "/" in name else "",
        hint=f"Run `apt install {package}`, {instead}",
    )
