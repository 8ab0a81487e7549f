"""`snap bisect`: the first snapshot in which an answer changed, found in a throw-away server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

pytestmark = pytest.mark.timeout(300)

MAX = "select max(price) from goods"
TEST = 'n=$(psql -XAtc "select max(price) from goods") || exit 125; test $n -lt 100'


@pytest.fixture
def history(snap: CommandLine, database: Database, tmp_path: Path) -> Iterator[list[str]]:
    """Five snapshots; the price jumps in the fourth, and the table has no such column in the
    second."""
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.setenv("SNAP_PG_BINDIR", str(database.cluster.binaries.bindir))
    temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"bis-{os.getpid()}-{tmp_path.name[-6:]}"
    temporary.mkdir(mode=0o777)
    temporary.chmod(0o777)
    snap.setenv("TMPDIR", str(temporary))
    snap.ok("init")
    database.psql("CREATE TABLE goods (price int); INSERT INTO goods VALUES (7)")
    ids = []
    for sql in (
        "SELECT 1",
        "ALTER TABLE goods RENAME price TO cost",
        "ALTER TABLE goods RENAME cost TO price",
        "UPDATE goods SET price = 700",
        "CREATE TABLE other ()",
    ):
        database.psql(sql)
        ids.append(snap.ok("commit", "-m", sql, "--json").json["id"])
    yield ids
    assert not list(temporary.iterdir())
    temporary.rmdir()


def test_the_change_is_found_by_a_query_by_a_command_and_step_by_step(
    history: list[str], snap: CommandLine
) -> None:
    found = snap("bisect", "--json", "--sql", MAX)
    assert (found.code, found.err) == (0, "")
    fields = found.json
    assert (fields["last_good"], fields["first_bad"]) == (history[2], history[3])
    asked = {one["id"]: one["answer"] for one in fields["answers"]}
    assert asked == {history[0]: "7", history[4]: "700", history[2]: "7", history[3]: "700"}
    named = documentation.fields(documentation.section("snap bisect"))
    assert [documentation.field_names(fields)] == named
    assert snap.ok("bisect", "reset").out == "there was no search\n"

    # Step by step, then by itself: as git does, it is the command that decides.
    begun = snap.ok("bisect", "start", "latest", history[0], "--json").json
    assert (begun["next"], begun["questions_left"]) == (history[2], 2)
    [file] = (snap.folder / "home/.local/state/pgsnap/bisect").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    marked = snap.ok("bisect", "skip")
    assert f"next: {history[1][:12]}" in marked.out
    assert "snap open" in marked.out
    found = snap("bisect", "run", "--json", "--", "sh", "-c", TEST)
    # It has no such column: 125.
    assert (found.code, found.json["suspects"]) == (3, history[1:4]), found.err
    assert (found.json["first_bad"], found.json["skipped"]) == (None, history[1:3])
    undecided = snap("bisect", "bad", history[3])
    assert (undecided.code, history[2][:12] in undecided.out) == (3, True)
    decided = snap.ok("bisect", "good", history[2])
    assert f"the first bad snapshot: {history[3][:12]}" in decided.out
    log = snap.ok("bisect", "log").out.splitlines()
    assert (log[0], log[-1]) == ("snap bisect start", f"snap bisect good {history[2][:12]}")
    assert "changed more than once" in snap.ok("bisect", "good", "latest").err

    for words, code, message in (
        (("start",), 2, "a search is under way already"),
        (("good", "nope"), 20, "no snapshot is named"),
        (("run",), 2, "what is to be asked?"),
        (("log", "more"), 2, "takes no other argument"),
        (("--sql", MAX, "--", "true"), 2, "--sql asks by a query"),
        (("strat",), 127, 'the command "strat" was not found'),
        (("good", "--sql", MAX), 2, "asks nothing"),
    ):
        wrong = snap("bisect", *words)
        assert (wrong.code, message in wrong.err) == (code, True), (words, wrong.err)
    assert snap.ok("bisect", "reset").out == "the search is over\n"
    assert not file.exists()
    assert "no good snapshot is older" in snap("bisect", "start", history[0], history[4]).err
    assert "no search is under way" in snap("bisect", "good").err


def test_a_search_that_stops_leaves_no_server_and_says_what_is_known(
    history: list[str], snap: CommandLine
) -> None:
    same = snap("bisect", "--", "true")
    assert (same.code, "answer the same (exit code 0)" in same.err) == (1, True)
    ends = ("--good", history[0], "--bad", history[4])
    stopped = snap("bisect", *ends, "--", "sh", "-c", "exit 128")
    assert (stopped.code, "ended with 128, which stops" in stopped.err) == (1, True)
    assert f"so far it lies between: --good {history[0][:12]}" in stopped.err

    # A test runner may answer Ctrl-C with an exit code of its own: that is no mark.
    catches = "trap 'exit 1' INT; kill -INT $PPID; kill -INT $$; sleep 60"
    interrupted = snap.process("bisect", *ends, "--", "sh", "-c", catches)
    assert (interrupted.code, "interrupted: the command" in interrupted.err) == (130, True)

    waits = "touch here; while test -e here; do sleep 0.1; done"
    child = snap.popen("bisect", *ends, "--", "sh", "-c", waits, start_new_session=True)
    here, folder = snap.work / "here", Path(os.environ["TMPDIR"])
    deadline = time.monotonic() + 240
    while not here.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(folder.iterdir())
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=60)
    here.unlink()
    child.communicate()
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(folder.iterdir())
