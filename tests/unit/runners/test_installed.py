"""Programs are found wherever packages put them: on this host, and inside a container."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pgsnap.runners import inside, installed
from pgsnap.runners.local import LocalRunner


@pytest.fixture(params=installed.PLACES)
def pg_dump(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The only pg_dump below a root: that of version 17, in one of the places."""
    path = tmp_path / str(request.param).format(major=17) / "pg_dump"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 17.2'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("major", [None, 17])
def test_a_program_on_this_host_is_found_in_every_place(
    pg_dump: Path, tmp_path: Path, major: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert LocalRunner(root=tmp_path).find("pg_dump", major).path == str(pg_dump)


def test_a_program_in_a_container_is_found_in_every_place(pg_dump: Path, tmp_path: Path) -> None:
    script = inside.FIND.replace(" /", f" {tmp_path}/")
    done = subprocess.run(
        ["/bin/sh", "-c", script, "snap", "pg_dump"], env={"PATH": ""}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{pg_dump}\tpg_dump (PostgreSQL) 17.2\n"
