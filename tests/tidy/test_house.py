"""The house: how large rooms and functions are, and that the picture shows what is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pgsnap.cli.commands import NAMES
from support.documents.source import (
    LEVEL,
    MODULES,
    PACKAGE,
    PAGE,
    ROOT,
    imports,
    parsed,
    room_of,
    tables,
)

UNIT = ROOT / "tests" / "unit"
FILES_MAX = 15
# One file for each command.
LARGE_FOLDERS = {PACKAGE / "cli" / "commands"}
FUNCTION_LINES_MAX = 60
# Whoever else wants something of these asks a repository for it.
STATE_ROOMS = {"repository", "maintenance"}


def test_a_folder_has_no_more_files_than_a_reader_takes_in() -> None:
    for folder in {path.parent for path in MODULES} - LARGE_FOLDERS:
        files = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        assert len(files) <= FILES_MAX, folder


def test_a_name_does_not_repeat_its_folder() -> None:
    for path in MODULES:
        assert not path.stem.startswith(f"{path.parent.name}_"), path


def test_functions_fit_on_a_page() -> None:
    for path in MODULES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= FUNCTION_LINES_MAX, f"{path}: {node.name}"


def state_uses(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"index", "store"}:
            owner = ast.unparse(node.value)
            if re.fullmatch(r"(.*\.)?_?(repo|repository)", owner):
                yield ast.unparse(node)


def test_the_rule_sees_a_use_of_the_index() -> None:
    assert list(state_uses(ast.parse("self._repo.index.close()"))) == ["self._repo.index"]
    assert list(state_uses(ast.parse("a.index(b); self.store"))) == []


def test_only_two_rooms_touch_index_and_store() -> None:
    for path in MODULES:
        if room_of(path) not in STATE_ROOMS:
            assert not list(state_uses(parsed(path))), path


def test_folders_of_workflows_import_only_those_before_them() -> None:
    row = next(row for row in tables("| room | holds |") if row[0] == "`workflows/`")
    order = [name.rstrip("/") for name in re.findall(r"`(\w+/)`", row[1])]
    folders = {path.name for path in (PACKAGE / "workflows").iterdir() if path.is_dir()}
    assert set(order) == folders - {"__pycache__"}
    assert not [path for path in (PACKAGE / "workflows").glob("*.py") if path.stem != "__init__"]
    for path in (PACKAGE / "workflows").glob("*/*.py"):
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[:2] == ["pgsnap", "workflows"] and len(parts) > 2:
                assert order.index(parts[2]) <= order.index(path.parent.name), (path, module)


def test_the_picture_shows_the_imports_of_every_room() -> None:
    drawn = dict(
        re.findall(r"^    (\w+)(?: +-> (.+))?$", PAGE.partition("The house, and")[2], re.M)
    )
    rooms = [room for room in LEVEL if LEVEL[room] > 0]
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for path in MODULES:
        if room_of(path) in found:
            tops = {module.split(".")[1] for module, _ in imports(path) if "pgsnap." in module}
            found[room_of(path)] |= tops & set(rooms) - {room_of(path)}
    assert {room: set(drawn[room].split()) for room in rooms} == found


def test_every_command_has_its_place_on_the_map() -> None:
    places = {row[0].strip("`"): row[1].strip("`") for row in tables("| command | where |")}
    assert {name.split()[0] for name in places} == set(NAMES)
    for place in places.values():
        assert (PACKAGE / place).is_file(), place


def test_ten_questions_are_answered_by_paths_that_exist() -> None:
    answers = [row[1].strip("`") for row in tables("| question | where |")]
    assert len(answers) == 10
    for answer in answers:
        assert (PACKAGE / answer).is_file(), answer
        assert len(Path(answer).parts) <= 3


def test_unit_tests_lie_where_their_modules_lie() -> None:
    """`x/y.py` is tested in `x/test_y.py`, and where that grows in `x/test_y_WHAT.py`."""
    for path in UNIT.rglob("test_*.py"):
        folder = PACKAGE / path.parent.relative_to(UNIT)
        name = path.stem.removeprefix("test_")
        stems = [stem.stem for stem in folder.glob("*.py")]
        assert any(name == stem or name.startswith(f"{stem}_") for stem in stems), path
