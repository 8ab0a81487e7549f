"""`snap run`: a command with a snapshot before it, and what follows from how the command ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from support.documents import documentation
from support.restoring.clients import databases_like
from support.running.commandline import SOURCE, CommandLine
from support.running.terminals import on_terminal
from support.servers.databases import Database

pytestmark = pytest.mark.timeout(300)

# What a migration that fails half-way leaves behind.
HALF = "ALTER TABLE t ADD b int; UPDATE t SET a = 7 WHERE a = 1; INSERT INTO t VALUES (8)"


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    database.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


@pytest.fixture
def migration(shop: CommandLine) -> list[str]:
    """A command that changes the database and then fails with 3."""
    (shop.work / "half.sql").write_text(HALF)
    script = 'psql -qX -d "$DATABASE_URL" -f half.sql && echo "no such column" >&2; exit 3'
    return ["sh", "-c", script]


def contents(database: Database) -> str:
    return database.psql("SELECT * FROM t ORDER BY 1").strip()


def snapshots(snap: CommandLine) -> list[dict[str, object]]:
    found: list[dict[str, object]] = snap.ok("log", "--json").json
    return found


def test_a_command_that_succeeds_has_the_streams_and_a_snapshot_from_before_it(
    shop: CommandLine, database: Database
) -> None:
    script = 'cat; echo noise >&2; psql -qX -d "$DATABASE_URL" -c "DELETE FROM t WHERE a = 2"'
    child = shop.popen("run", "--tag", "old", "--", "sh", "-c", script, stdin=subprocess.PIPE)
    out, err = child.communicate("what is piped in\n", timeout=60)
    assert (child.returncode, out) == (0, "what is piped in\n"), err
    assert "noise" in err
    assert "snap restore" in err
    # Where nobody watches, only the commit takes time.
    assert "REMOVED" not in err
    [made] = snapshots(shop)
    assert (made["tags"], made["message"]) == (["old"], "before sh")
    assert (shop.ok("show", "old", "--json").json["rows"], contents(database)) == (2, "1")

    shown = shop.process("run", "--diff", "-m", "why", "psql", "-c", "DROP TABLE t", database.dsn)
    assert (shown.code, shown.out) == (0, "DROP TABLE\n")
    assert "dropped" in shown.err
    quiet = shop.process("run", "--quiet", "--", "true")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    result = shop.process("run", "--json", "--", "echo", "--json")
    assert (result.json["exit_code"], result.err) == (0, "--json\n")
    messages = [made["message"] for made in snapshots(shop)]
    assert messages == ["before echo", "before true", "why", "before sh"]


def test_a_command_that_fails_shows_what_it_changed_and_the_way_back(
    shop: CommandLine, database: Database, migration: list[str]
) -> None:
    done = shop.process("run", "--", *migration)
    assert (done.code, done.out) == (3, "")
    after = done.err[done.err.index("no such column") :]
    assert "failed: exit code 3" in after
    assert "ALTER TABLE" not in after
    assert "other definition" in after
    [made] = snapshots(shop)
    assert f"snap restore {str(made['id'])[:12]}" in after
    assert "no such column" in shop.process("run", "--no-diff", "--", *migration).err

    database.psql("DROP TABLE t; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    found = shop.process("run", "--json", "--restore-on-failure", "--", *migration)
    assert found.code == 3, found.err
    assert contents(database) == "1"
    fields = found.json
    assert [set(fields)] == documentation.fields(documentation.section("snap run"))
    assert (fields["exit_code"], fields["signal"], fields["error"]) == (3, None, None)
    assert fields["diff"]["differ"] is True
    assert fields["restore"]["snapshot"] == fields["id"] == fields["commit"]["id"]
    logged = [line for line in shop.ok("audit", "--json").json if line["command"] == "run"]
    assert {line["arguments"]["command"] for line in logged} == {"sh"}
    assert made["id"] in {each for line in logged for each in line["snapshots"]}


def test_on_a_terminal_the_restore_is_offered(
    shop: CommandLine, database: Database, migration: list[str]
) -> None:
    before = contents(database)
    code, shown = on_terminal(shop, "n", "run", "--", *migration)
    assert code == 3, shown
    assert shown.index("other definition") < shown.index("Type its name to go on:")
    assert "the way back stays open:\r\n  snap restore" in shown
    shop.ok("restore", "latest", "--yes")
    assert contents(database) == before
    shop.ok("undo", "--discard", "--yes")
    code, shown = on_terminal(shop, database.name, "run", "--", *migration)
    assert code == 3, shown
    assert contents(database) == before
    # What a success changed is shown where somebody watches; nothing is asked.
    script = f'psql -qX -d "{database.dsn}" -c "DELETE FROM t"'
    code, shown = on_terminal(shop, "", "run", "--", "sh", "-c", script)
    assert code == 0, shown
    assert "REMOVED" in shown
    assert "go on" not in shown


def test_without_asking_nothing_is_restored_over_what_others_wrote(
    shop: CommandLine, database: Database, migration: list[str]
) -> None:
    reader = subprocess.Popen(
        [shutil.which("psql") or "psql", "-qXAt", database.dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write("SELECT 'here';\n")
    reader.stdin.flush()
    assert reader.stdout.readline() == "here\n"
    # A session that only sits there does not matter.
    idle = shop.process("run", "--restore-on-failure", "--", *migration)
    assert idle.code == 3, idle.err
    assert contents(database) == "1\n2"
    reader.communicate()
    shop.ok("undo", "--discard", "--yes")

    # One that outlives the command may write, and so may one that wrote and is gone.
    sleep = f"psql -qX '{database.dsn}' -c 'SELECT pg_sleep(600)' > /dev/null 2>&1 & exit 9"
    refused = shop.process("run", "--json", "--restore-on-failure", "--", "sh", "-c", sleep)
    assert refused.code == 40, refused.err
    assert "exit code 9" in refused.json["error"]
    assert refused.json["exit_code"] == 9
    assert refused.json["restore"] is None
    error = json.loads(refused.err[refused.err.index("{") :])["error"]
    assert (error["kind"], error["exit_code"]) == ("not-put-back", 40)
    assert "are new, and were not ended with the command" in error["detail"]
    database.psql(HALF)
    (shop.work / "half.sql").write_text("DELETE FROM t")
    forced = shop.process("run", "--restore-on-failure", "--yes", "--", *migration)
    assert forced.code == 3, forced.err
    assert contents(database) == "2|\n7|\n8|"
    assert shop("run", "--yes", "--", "true").code == 2


def test_what_cannot_be_started_is_found_before_the_commit(
    shop: CommandLine, database: Database
) -> None:
    (shop.work / "plain").write_text("no program")
    for words, code in (
        (["snap-no-such-command"], 127),
        (["./nothing"], 127),
        (["./plain"], 126),
        ([str(shop.work)], 126),
        (["echo a && echo b"], 127),
    ):
        found = shop("run", "--", *words)
        assert (found.code, found.out) == (code, ""), words
        assert "HINT" in found.err or " " not in words[0]
    assert shop("run").code == 2
    assert snapshots(shop) == []
    # The format of a program shows only when it is started.
    (shop.work / "plain").chmod(0o755)
    assert shop("run", "--", "./plain").code == 126
    marked = ["touch", str(shop.work / "started")]
    failed = shop("run", "--dsn", database.cluster.dsn("gone"), "--", *marked)
    assert (failed.code, (shop.work / "started").exists()) == (30, False)


def test_signals_go_to_the_command_and_its_end_counts(shop: CommandLine) -> None:
    killed = shop.process("run", "--no-diff", "--", "sh", "-c", "kill -9 $$")
    assert killed.code == 137
    assert "ended by SIGKILL" in killed.err
    patient = "trap 'echo got it; exit 5' TERM INT; echo ready; while :; do sleep 0.1; done"
    for number in (signal.SIGTERM, signal.SIGINT):
        child = shop.popen("run", "--", "sh", "-c", patient, start_new_session=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (5, "got it\n"), err
        # A Ctrl-C ends the command; who asks snap to end does not want a comparison.
        assert ("no differences" in err) == (number == signal.SIGINT)


def test_a_ctrl_c_on_the_terminal_reaches_the_command_once_and_the_restore_is_offered(
    shop: CommandLine, database: Database
) -> None:
    counting = (
        "import signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGINT, lambda *_: got.append(1))\n"
        "print('ready', flush=True)\n"
        "while not got: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "print('got', len(got), flush=True)\n"
        "sys.exit(4)\n"
    )
    (shop.work / "counting.py").write_text(counting)
    master, slave = pty.openpty()
    child = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "pgsnap.cli", "run", "--", sys.executable,
         "counting.py"],
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(SOURCE)},
        cwd=shop.work, stdin=slave, stdout=slave, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""

    def until(words: bytes) -> None:
        nonlocal shown
        while words not in shown:
            shown += os.read(master, 65536)

    until(b"ready")
    os.write(master, b"\x03")
    until(b"got ")
    until(b"Type its name to go on:")
    # A second one is an answer to the question.
    os.write(master, b"\x03")
    assert child.wait(timeout=60) == 4, shown
    os.close(master)
    assert b"got 1" in shown
    assert contents(database) == "1\n2"


def test_a_ctrl_c_while_the_differences_are_read_leaves_the_restore_undone_and_says_so(
    shop: CommandLine, database: Database
) -> None:
    (shop.work / "wait.py").write_text(
        "import pathlib, sys, time\n"
        "print('ready', flush=True)\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.05)\n"
        "sys.exit(3)\n"
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"
    with psycopg.connect(database.dsn) as other:
        child = shop.popen("run", "--restore-on-failure", "--yes", "--", sys.executable, "wait.py")
        assert child.stdout is not None
        while "ready" not in child.stdout.readline():
            assert child.poll() is None
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        (shop.work / "go").touch()
        deadline = time.monotonic() + 120
        while database.psql(waiting) == "0":
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=120)
    assert child.returncode == 40, err
    shown = " ".join(err.split())
    assert "the command failed (exit code 3), and the database was not put back" in shown
    assert "The way back: snap restore" in shown
    assert contents(database) == "1\n2"


def test_a_command_may_drop_the_database_or_leave_the_repository_locked(
    shop: CommandLine, database: Database
) -> None:
    name, dsn = database.name, database.cluster.dsn("postgres")
    drop = ["psql", "-qX", dsn, "-c", f'DROP DATABASE "{name}"', "-c", "SELECT nothing"]
    gone = shop.process("run", "--", *drop)
    assert gone.code == 1
    assert "the differences are not known" in gone.err
    again = shop.process("restore", "latest", "--yes")
    assert again.code == 0, again.err
    assert contents(database) == "1\n2"
    back = shop.process("run", "--restore-on-failure", "--", *drop)
    assert back.code == 1, back.err
    assert contents(database) == "1\n2"

    lock = next((shop.work / "database" / "backups").glob("*lock*"))
    with lock.open("r+") as file:
        script = "import fcntl, sys; fcntl.flock(0, fcntl.LOCK_EX); sys.exit(6)"
        held = shop.process(
            "run", "--restore-on-failure", "--lock-timeout", "1s", "--",
            sys.executable, "-c", script, stdin=file,
        )  # fmt: skip
        assert "repository is locked" in held.err
        assert held.code == 40, held.err
        fcntl.flock(file, fcntl.LOCK_UN)
    assert "exit code 6" in held.err
