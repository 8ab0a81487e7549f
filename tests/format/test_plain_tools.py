"""The script of docs/rollback.md reads a repository without any of our code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgsnap.model import SectionKind, SnapshotId
from pgsnap.repository.repository import Repository
from support.documents.runbooks import blocks, provide_zstd
from support.dumps.scripted import dump, rows, table, texts
from support.repositories.made import day, make, record

PAGE = Path(__file__).parents[2] / "docs" / "rollback.md"
VERSIONS = 8


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (text,) = [b.text for b in blocks(PAGE) if b.note("file:") == "unsnap.py"]
    path = tmp_path / "unsnap.py"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    provide_zstd(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return path


def unsnap(script: Path, *arguments: str) -> bytes:
    # Isolated: nothing of ours, and nothing that is installed beside us, can be imported.
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), *arguments], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def commit_versions(repo: Repository) -> list[SnapshotId]:
    """Commit a table of three chunks or more again and again, with a few rows changed each time."""
    lines, made = rows(6000, seed=5, width=200), []
    for number in range(VERSIONS):
        lines[number * 700] = lines[number * 700][:-8] + b"%08d" % number
        content = dump(table("public", "orders", lines), globals_text=b"CREATE ROLE app;\n")
        made.append(
            record(repo, content, message=f"m{number}", tags=[f"v{number}"], at=day(number + 1))
        )
    return [report.snapshot_id for report in made]


def test_the_script_reads_every_snapshot_through_its_deltas(script: Path, tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        made = commit_versions(repo)
        assert max(depth for (depth,) in repo.index.query("SELECT depth FROM chunks", ())) >= 2
        for number, snapshot in enumerate(made):
            sent = {
                kind: b"".join(text for name, text in texts(repo, snapshot) if kind(name.kind))
                for kind in (_is_dump, _is_globals)
            }
            assert unsnap(script, str(path), snapshot.hex()[:12]) == sent[_is_dump]
            assert unsnap(script, str(path), f"v{number}", "globals") == sent[_is_globals]
        listed = unsnap(script, str(path)).decode().splitlines()
    assert [line.split()[0] for line in listed] == [snapshot.hex()[:12] for snapshot in made]
    assert listed[-1].split()[-3:] == ["shop", "v7", "m7"]


def _is_dump(kind: SectionKind) -> bool:
    return kind not in (SectionKind.DATABASE, SectionKind.GLOBALS)


def _is_globals(kind: SectionKind) -> bool:
    return kind is SectionKind.GLOBALS
