"""The page over a repository whose disk is really full: all is shown, and nothing is half done."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running.commandline import CommandLine
from support.running.page import served
from support.servers.databases import Database

pytestmark = pytest.mark.system


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_of_the_repository_is_told_and_leaves_nothing_half_done(
    snap: CommandLine, database: Database, small_disk: Path
) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    snap.setenv("SNAP_REPO", str(small_disk / "repo"))
    database.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "first")
    database.psql("INSERT INTO t VALUES (2)")
    snap.ok("commit", "-m", "second")
    new, old = (one["id"] for one in snap.ok("log", "--json").json)
    # More than the disk may have left once it counts as full.
    database.psql("INSERT INTO t SELECT generate_series(10000, 90000)")
    with served(snap, "--no-browser") as page:
        page.begin()
        filler = small_disk / "fill"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        label = f"label={database.name}"
        for path in (
            *("/", f"/database?{label}", "/search?q=first", f"/table?{label}&table=public.t"),
            *(f"/snapshot?id={new}", f"/diff?from={old}&to={new}", "/audit", "/checks"),
        ):
            assert page.ask(path).status == 200, path
        for verb, values in (
            ("commit", {"message": "third"}),
            ("tag", {"name": "new", "snapshot": "first"}),
            ("forget", {"snapshot": "first", "force": "yes"}),
        ):
            assert "no space left in the repository" in page.run(verb, **values), verb
        assert "no damage" in page.run("verify")
        # The safety snapshot does not fit, so nothing is replaced.
        job = page.start("restore", snapshot="first")
        page.until(job, "waits for you")
        page.send(f"{job}/answer", word=database.name)
        assert "no space left in the repository" in page.until(job, "failed")
        assert database.psql("SELECT count(*) FROM t") == "80003"
        whose = f"starts_with(datname, '{database.name}__snap_')"
        assert database.psql(f"SELECT count(*) FROM pg_database WHERE {whose}") == "0"
        filler.unlink()
        assert "third" in page.run("commit", message="third")
    assert [one["message"] for one in snap.ok("log", "--json").json] == ["third", "second", "first"]
