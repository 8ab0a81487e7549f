"""`snap ui`: what is done on the page is what the command line does, asked for on the way."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import pytest

from pgsnap.cli.wiring.page.console import JobConsole
from pgsnap.errors import Declined
from pgsnap.web.actions.jobs import Jobs
from support.running.commandline import CommandLine
from support.running.page import Page, served
from support.servers.databases import Database


@pytest.fixture
def page(snap: CommandLine, database: Database) -> Iterator[Page]:
    """A page over one snapshot of a database that has one more row since."""
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)")
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "first")
    database.psql("INSERT INTO t VALUES (2)")
    with served(snap, "--no-browser") as running:
        running.begin()
        yield running


def _first(snap: CommandLine) -> str:
    return str(snap.ok("log", "--json").json[-1]["id"])


def rows(database: Database) -> str:
    return database.psql("SELECT string_agg(a::text, ',' ORDER BY a) FROM t")


def test_a_restore_shows_its_plan_and_wants_the_name_and_so_does_its_undo(
    page: Page, database: Database, snap: CommandLine
) -> None:
    job = page.start("restore", snapshot="first")
    shown = page.until(job, "waits for you")
    assert "first" in shown
    assert "Type its name to go on:" in shown
    # Another one does not begin meanwhile, and the answer is the name, whatever else is sent.
    busy = page.send("/actions/tag", name="x", snapshot="latest")
    assert (busy.status, job in busy.text) == (400, True)
    for wrong in ("yes", "", database.name.upper()):
        page.send(f"{job}/answer", word=wrong)
        assert "That was not its name" in page.until(job, "waits for you")
    assert rows(database) == "1,2"
    assert page.send(f"{job}/answer", word=database.name).status == 204
    assert "safety" in page.until(job, "done")
    assert rows(database) == "1"
    assert page.send(f"{job}/answer", word=database.name).status == 404
    assert database.name in page.ask("/kept").text
    # Declined, stopped, done.
    job = page.start("undo")
    page.until(job, "waits for you")
    page.send(f"{job}/answer", word=database.name, decline="yes")
    assert "Nothing was changed" in page.until(job, "failed")
    job = page.start("undo")
    page.until(job, "waits for you")
    page.send(f"{job}/stop")
    assert "interrupted" in page.until(job, "stopped")
    assert rows(database) == "1"
    job = page.start("undo")
    page.until(job, "waits for you")
    page.send(f"{job}/answer", word=database.name)
    page.until(job, "done")
    assert rows(database) == "1,2"
    ended = [(one["command"], one["exit_code"]) for one in snap.ok("audit", "--json").json]
    assert ended[2:] == [("restore", 0), ("undo", 5), ("undo", 130), ("undo", 0)]


def test_the_other_verbs_run_and_their_events_tell_how_they_end(
    page: Page, database: Database, snap: CommandLine
) -> None:
    # What a restore would take back is in the live database only.
    compared = page.run("compare", snapshot="first")
    assert re.search(r"public\.t +1 +2 +\+1 ", compared)
    assert (
        "/actions/compare?snapshot=" in page.ask(f"/actions/restore?snapshot={_first(snap)}").text
    )
    done = page.run("commit", message='a "quoted" <b>message</b>', tag="second")
    assert "&lt;b&gt;" in done
    job = page.start("verify", data="yes")
    events = page.ask(f"{job}/events").text
    assert events.startswith("event: job\n")
    assert events.endswith("event: end\ndata:\n\n")
    assert "every byte read" in events
    assert "no damage" in page.ask(job).text
    # No value becomes an option or another operand.
    assert "done" in page.run("tag", name="third", snapshot="second")
    for values in ({"name": "--delete=first"}, {"name": "x", "snapshot": "--force"}):
        page.run("tag", **{"snapshot": "second", **values})
    assert page.send("/actions/tag", name="", snapshot="second").status == 400
    assert page.send("/actions/nothing", name="x").status == 404
    tags = {one["name"] for one in snap.ok("tag", "--json").json}
    assert {"first", "second", "third"} <= tags
    page.run("untag", name="third")
    shown = page.run("forget", snapshot="first")
    assert "which protects it" in shown
    page.run("forget", snapshot="first", force="yes")
    assert [one["message"] for one in snap.ok("log", "--json").json] == [
        'a "quoted" <b>message</b>'
    ]
    assert "passed" in page.run("drill")
    for address, words in {
        "/": "passed",
        "/checks": "passed",
        "/checks?by=verify": "every byte read",
        "/audit?command=drill": "<strong>drill</strong>",
        "/search?q=quoted": "second",
        "/search?q=PUBLIC.T": "public.t",
        "/actions": "Test the rollback",
    }.items():
        assert words in page.ask(address).text, address


def test_a_ctrl_c_ends_a_job_first_and_changes_nothing(page: Page, database: Database) -> None:
    job = page.start("restore", snapshot="first")
    page.until(job, "waits for you")
    page.process.send_signal(signal.SIGINT)
    assert page.process.wait(timeout=120) == 0
    assert rows(database) == "1,2"
    left = database.psql("SELECT count(*) FROM pg_database WHERE datname LIKE '%!_!_%' ESCAPE '!'")
    assert left == "0"


def test_a_question_that_nobody_answers_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgsnap.cli.wiring.page.console._ANSWER_SECONDS", 0.0)
    jobs = Jobs()
    job = jobs.submit("Restore", ("restore", "--", "first"))
    assert jobs.take() is job
    console = JobConsole(jobs, job)
    with pytest.raises(Declined) as declined:
        console.confirm("Replace shop? Type its name to go on:", word="shop")
    assert declined.value.exit_code == 5
    assert "nobody answered" in declined.value.message
