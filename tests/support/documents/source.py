"""The source as data: its modules, their imports, and the rooms of docs/architecture.md."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "src" / "pgsnap"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
# SQL may be asked of a psql that a runner starts.
SIDEWAYS = {("sessions", "runners")}


def tables(heading: str) -> list[list[str]]:
    """Return the rows of the table of docs/architecture.md that begins with *heading*."""
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def rooms_table() -> list[list[str]]:
    """Return the rooms, a list for each row of the table, from the top."""
    rows = tables("| room | holds |")
    return [[name.rstrip("/") for name in re.findall(r"`([^`]+)`", row[0])] for row in rows]


ROWS = rooms_table()
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return every module that a file imports, with whether it does so at its top.

    Imports in functions count, and so do those for type checkers only.
    """
    return imports_of(path, parsed(path))


@cache
def imports_of(path: Path, tree: ast.Module) -> list[tuple[str, bool]]:
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = ["pgsnap", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in inner) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            found += [(name, id(node) not in inner) for name in names]
    return found


def imported_rooms(imported: list[tuple[str, bool]]) -> set[str]:
    names = [module.split(".") for module, _ in imported if module.startswith("pgsnap.")]
    return {name[1] for name in names if name[1] in LEVEL}


def may_import(room: str, target: str) -> bool:
    """A room sees itself and the rows above it; the single modules of the first row see each
    other, the rooms that share any other row do not, but for SIDEWAYS."""
    if room == target or LEVEL[target] < LEVEL[room] or (room, target) in SIDEWAYS:
        return True
    return LEVEL[room] == LEVEL[target] == 0 and room != "errors"
