"""The shape of the source: who imports whom, how large files are, what stands nowhere."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

from pgsnap.errors import BUG_EXIT_CODE, EXIT_CODES, SnapError
from support.documents.source import (
    LEVEL,
    MODULES,
    PACKAGE,
    ROOT,
    imported_rooms,
    imports,
    imports_of,
    may_import,
    parsed,
    room_of,
    tables,
)

TESTED = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))

LINES_MAX = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
# Imported at the top these would cost every start of `snap`; what cuts chunks, compares rows and
# writes tables is itself imported late.
NUMPY_ROOMS = {"chunking", "masking", "rows", "tabular"}
# Imported late themselves.
NUMPY_MODULES = {"edits.py", "block_edits.py", "spliced_text.py", "splicing.py"}
# A restore and an undo take a snapshot of what they are about to replace; an import is commits; a
# drill is a verify and a restore.
VERBS_MAY_CALL = {
    ("workflows.commit.safety_snapshot", "workflows.commit.commit"),
    ("workflows.commit.import_dumps", "workflows.commit.commit"),
    ("workflows.drill.drill", "workflows.restore.restore"),
    ("workflows.past.blame", "workflows.past.history"),
    ("workflows.drill.drill", "maintenance.verify.verify"),
    ("workflows.throw_away.load", "workflows.restore.restore"),
}


def test_the_table_of_rooms_names_every_room() -> None:
    there = {room_of(path) for path in MODULES if path.parent != PACKAGE or path.stem in LEVEL}
    assert there | {"errors"} == set(LEVEL)
    single = {path.stem for path in PACKAGE.glob("*.py")}
    assert single <= {*LEVEL, "__init__", "__main__"}


def test_no_import_compiles_a_regular_expression() -> None:
    """What an import runs; the keeper is started without the package."""

    def calls(node: ast.AST) -> list[str]:
        inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        below = [each for each in ast.iter_child_nodes(node) if not isinstance(each, inner)]
        own = [ast.unparse(node.func)] if isinstance(node, ast.Call) else []
        return own + [name for each in below for name in calls(each)]

    for path in MODULES:
        if path.stem not in ("patterns", "keeper"):
            assert "re.compile" not in calls(parsed(path)), f"{path}: patterns.regex"


def test_imports_point_up() -> None:
    for path in MODULES:
        room = room_of(path)
        if room in LEVEL:
            wrong = {
                target for target in imported_rooms(imports(path)) if not may_import(room, target)
            }
            assert not wrong, f"{path} must not import {', '.join(sorted(wrong))}"


def test_a_wrong_import_is_seen_in_a_function_and_in_every_spelling() -> None:
    for line in (
        "import pgsnap.cli.main",
        "from pgsnap import cli",
        "from pgsnap.cli import main",
        "from ..cli import main",
    ):
        tree = ast.parse(f"def f():\n    {line}\n")
        found = imported_rooms(imports_of(PACKAGE / "stores" / "imagined.py", tree))
        assert found == {"cli"}, line
    assert not may_import("stores", "cli")
    assert not may_import("stores", "runners")
    assert may_import("sources", "runners")


def test_verbs_do_not_call_each_other() -> None:
    verbs = {
        row[1].strip("`").removesuffix(".py").replace("/", ".")
        for row in tables("| command | where |")
        if "workflows/" in row[1] or "maintenance/" in row[1]
    }
    assert len(verbs) > 15
    for path in MODULES:
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name in verbs:
            called = {module.removeprefix("pgsnap.") for module, _ in imports(path)} & verbs
            for other in called - {name}:
                assert (name, other) in VERBS_MAY_CALL, (name, other)


def test_files_stay_small_and_have_speaking_names() -> None:
    for path in MODULES + TESTED:
        assert len(path.read_text().splitlines()) <= LINES_MAX, path
        parts = {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
        assert not FORBIDDEN_NAMES & parts, path


def test_numpy_is_imported_at_the_top_only_where_chunks_are_cut() -> None:
    for path in MODULES:
        if room_of(path) not in NUMPY_ROOMS and path.name not in NUMPY_MODULES:
            top = {module.split(".")[0] for module, at_top in imports(path) if at_top}
            assert "numpy" not in top, path


def test_only_the_command_line_prints_asks_or_exits() -> None:
    for path in MODULES:
        if room_of(path) == "cli":
            continue
        tree = parsed(path)
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


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python before 3.11.5 mismatches it (gh-106052), and Debian 12 has 3.11.2."""
    for path in (Path(__file__).parents[2] / "src").rglob("*.py"):
        assert not re.search(r"\)(?:[*+?]|\{\d*,?\d*\})\+[^ ]|\(\?>", path.read_text()), path


def test_methods_of_data_classes_are_made_late_everywhere() -> None:
    for path in MODULES:
        if path.name != "values.py":
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
                    names = {each.name for each in node.names}
                    assert "dataclass" not in names, f"{path}: import it from pgsnap.values"
                elif isinstance(node, ast.Attribute):
                    assert ast.unparse(node) != "dataclasses.dataclass", path
