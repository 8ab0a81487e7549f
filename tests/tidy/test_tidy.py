"""The shape of the source: who imports whom, how large files are, what stands nowhere."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.errors import BUG_EXIT_CODE, EXIT_CODES, SnapError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "pgsnap"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTED = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))

LINES_MAX = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
# Imported at the top these would cost every start of `snap`; chunking is itself imported late.
NUMPY_ROOM = "chunking"
# A restore and an undo take a snapshot of what they are about to replace; an import is commits; a
# drill is a verify, a restore and a diff (drill_compare).
VERBS_MAY_CALL = {
    ("safety", "commit"),
    ("import_dumps", "commit"),
    ("drill", "restore"),
    ("drill", "verify"),
}
# SQL may be asked of a psql that a runner starts.
SIDEWAYS = {("sessions", "runners")}


def rooms_table() -> list[list[str]]:
    """Return the rooms of docs/architecture.md, a list for each row, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("| room | holds |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [[name.rstrip("/") for name in re.findall(r"`([^`]+)`", row)] for row in rows]


ROWS = rooms_table()
LEVEL = {room: level for level, row in enumerate(ROWS) for room in row}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every module that a file imports, with whether it does so at its top.

    Imports in functions count, and so do those for type checkers only.
    """
    tree = ast.parse(path.read_text())
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = ["pgsnap", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inner
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield module, id(node) not in inner
            for alias in node.names:
                yield f"{module}.{alias.name}", id(node) not in inner


def imported_rooms(path: Path) -> set[str]:
    names = [module.split(".") for module, _ in imports(path) if module.startswith("pgsnap.")]
    return {name[1] for name in names if name[1] in LEVEL}


def may_import(room: str, target: str) -> bool:
    """A room sees itself and the rows above it; the single modules of the first row see each
    other, the rooms that share any other row do not, but for SIDEWAYS."""
    if room == target or LEVEL[target] < LEVEL[room] or (room, target) in SIDEWAYS:
        return True
    return LEVEL[room] == LEVEL[target] == 0 and room != "errors"


def test_the_table_of_rooms_names_every_room() -> None:
    there = {room_of(path) for path in MODULES if path.parent != PACKAGE or path.stem in LEVEL}
    assert there | {"errors"} == set(LEVEL)
    single = {path.stem for path in PACKAGE.glob("*.py")}
    assert single <= {*LEVEL, "__init__", "__main__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up(path: Path) -> None:
    room = room_of(path)
    if room in LEVEL:
        wrong = {target for target in imported_rooms(path) if not may_import(room, target)}
        assert not wrong, f"{room} must not import {', '.join(sorted(wrong))}"


def test_a_wrong_import_is_seen_in_a_function_and_in_every_spelling(tmp_path: Path) -> None:
    for line in (
        "import pgsnap.cli.main",
        "from pgsnap import cli",
        "from pgsnap.cli import main",
        "from ..cli import main",
    ):
        path = PACKAGE / "stores" / "imagined.py"
        source = f"def f():\n    {line}\n"
        found = _imported_rooms_of_source(path, source, tmp_path)
        assert found == {"cli"}, line
    assert not may_import("stores", "cli")
    assert not may_import("stores", "runners")
    assert may_import("sources", "runners")


def _imported_rooms_of_source(path: Path, source: str, folder: Path) -> set[str]:
    """`imported_rooms` of a file that is not there: its path is only a name."""

    class Imagined(type(path)):  # type: ignore[misc]
        def read_text(self, *_: object, **__: object) -> str:
            return source

    return imported_rooms(Imagined(path))


def test_workflows_do_not_import_each_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    listed = re.search(r"\| `workflows/` \| the verbs, one module each: ([^|]+)\|", text)
    assert listed
    verbs = {word.strip() for word in listed[1].split(",")}
    for path in (PACKAGE / "workflows").glob("*.py"):
        if path.stem in verbs:
            for module, _ in imports(path):
                parts = module.split(".")
                if parts[:2] == ["pgsnap", "workflows"] and len(parts) > 2 and parts[2] in verbs:
                    pair = (path.stem, parts[2])
                    assert parts[2] == path.stem or pair in VERBS_MAY_CALL, pair


@pytest.mark.parametrize("path", MODULES + TESTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_small_and_have_speaking_names(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_MAX
    assert not FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


def test_numpy_is_imported_at_the_top_only_where_chunks_are_cut() -> None:
    for path in MODULES:
        if room_of(path) != NUMPY_ROOM:
            top = {module.split(".")[0] for module, at_top in imports(path) if at_top}
            assert "numpy" not in top, path


def test_only_the_command_line_prints_asks_or_exits() -> None:
    for path in MODULES:
        if room_of(path) == "cli":
            continue
        tree = ast.parse(path.read_text())
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        assert not names & {"print", "input", "exit", "quit"}, path


def all_errors() -> set[type[SnapError]]:
    for path in MODULES:
        if path.stem != "__main__":
            name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            importlib.import_module(name.removesuffix(".__init__"))
    found = {SnapError}
    waiting = [SnapError]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting += below
    return found


def test_every_error_has_a_documented_exit_code_and_a_kind() -> None:
    codes = {code for code, _ in EXIT_CODES}
    assert len(codes) == len(EXIT_CODES)
    for error in all_errors():
        assert error.exit_code in codes - {0, 3, BUG_EXIT_CODE}, error
        assert re.fullmatch(r"[a-z-]+", error.kind), error


def test_no_file_names_a_machine_s_own_folders() -> None:
    pattern = re.compile(r"(?<![\w.*])/(work|root|home/\w+)(?:/|\b)")
    folders = ("src", "tests", "database", "docs", "benchmarks", ".ci")
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    # The .git of a worktree is a file.
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    for path in files:
        if "__pycache__" in path.parts or path == Path(__file__):
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        assert not pattern.search(text), f"{path}: {pattern.search(text)}"


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    assert "__init__.py" not in names


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python before 3.11.5 mismatches it (gh-106052), and Debian 12 has 3.11.2."""
    for path in (Path(__file__).parents[2] / "src").rglob("*.py"):
        assert not re.search(r"\)(?:[*+?]|\{\d*,?\d*\})\+[^ ]|\(\?>", path.read_text()), path
