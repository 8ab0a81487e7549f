"""The page in a real browser: every page, every action, by mouse and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from pgsnap.web.actions.verbs import VERBS
from support.running.browser import Browser, opened
from support.running.commandline import CommandLine
from support.running.page import Page, served
from support.servers.databases import Database

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

# As the protocol of drivers has them.
TAB, ENTER = "\ue004", "\ue007"
SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, mail text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, state text,
  total numeric(10, 2), placed timestamptz);
CREATE TABLE notes (id int PRIMARY KEY, body text);
INSERT INTO customers SELECT g, 'Customer ' || g, 'c' || g || '@example.org'
  FROM generate_series(1, 400) g;
INSERT INTO orders SELECT g, 1 + g % 400, (ARRAY['open', 'paid', 'sent'])[1 + g % 3], g * 1.25,
  '2026-01-01 12:00Z'::timestamptz + g * interval '1 hour' FROM generate_series(1, 3000) g;
INSERT INTO notes VALUES (1, '<script>alert(1)</script>'), (2, E'tab\\there'),
  (3, U&'\\202Eright to left'), (4, repeat('long ', 4000));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


@pytest.fixture
def page(snap: CommandLine, database: Database) -> Iterator[Page]:
    """A page over three snapshots of a shop, whose orders changed once more since."""
    snap.setenv("DATABASE_URL", database.dsn)
    snap.use_tools_of(database.cluster)
    database.psql(SHOP)
    snap.ok("init")
    snap.ok("commit", "-m", "as it began", "--tag", "start", "--database", "shop")
    database.psql(
        "UPDATE orders SET state = 'paid' WHERE id % 50 = 0; DELETE FROM notes WHERE id = 4"
    )
    snap.ok("commit", "-m", "nightly", "--database", "shop")
    database.psql(
        "ALTER TABLE customers ADD COLUMN city text;"
        " INSERT INTO customers VALUES (401, 'New', NULL, 'Ulm')"
    )
    snap.ok("commit", "-m", "before the migration", "--tag", "pre-migration", "--database", "shop")
    database.psql("DELETE FROM orders WHERE id <= 100")
    snap.ok("verify", "--data")
    snap.ok("drill", "--database", "shop")
    with served(snap, "--no-browser", "--database", "shop") as running:
        yield running


# What can be done in the contents of a page.
IN_MAIN = (
    "[...document.querySelectorAll('main :is(a[href], button, input, select, textarea, summary)')]"
    ".filter(one => one.checkVisibility() && one.type !== 'hidden')"
)


def reached_by_tab(browser: Browser) -> int:
    """Return how much of that Tab alone comes to."""
    browser.run("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(80):
        browser.keys(TAB)
        found = browser.run(f"return {IN_MAIN}.indexOf(document.activeElement)")
        if found in reached:
            break
        if found >= 0:
            reached.add(found)
    return len(reached)


def opened_page(browser: Browser, page: Page) -> None:
    browser.dark(on=False)
    browser.driver.get(page.url)
    browser.heading("Databases")


def test_every_page_can_be_read_at_any_width_dark_and_by_readers(
    browser: Browser, page: Page, snap: CommandLine
) -> None:
    opened_page(browser, page)
    # The token is in no address any more, and no cookie was set; it came by a fragment.
    assert browser.driver.current_url == f"http://{page.host}/"
    assert browser.run("return document.cookie") == ""
    # htmx remembers which page this is.
    kept = set(browser.run("return Object.keys(sessionStorage)"))
    assert kept - {"htmx-current-path-for-history"} == {"snap-session"}
    assert browser.run("return localStorage.length") == 0
    browser.complaints()
    problems: list[str] = []
    ids = [one["id"] for one in snap.ok("log", "--json").json]
    for name, words, address in (
        ("overview", "Databases", "/"),
        ("database", "shop", "/database?label=shop"),
        ("snapshot", "before the migration", f"/snapshot?id={ids[0]}"),
        ("diff", "orders", f"/diff?from={ids[2]}&to={ids[0]}"),
        ("table", "orders", "/table?label=shop&table=public.orders"),
        ("row", "History", "/row?label=shop&table=public.orders&key=50"),
        ("rows", "notes", f"/rows?id={ids[2]}&table=public.notes"),
        ("checks", "Drills and verifies", "/checks?by=all"),
        ("schedules", "Schedules", "/schedules"),
        ("kept", "Kept", "/kept"),
        ("remotes", "Remotes", "/remotes"),
        ("audit", "Audit", "/audit"),
        ("search", "Found", "/search?q=orders"),
        ("actions", "Actions", "/actions"),
        *(
            (verb, found.title, f"/actions/{verb}?snapshot={ids[0]}&label=shop")
            for verb, found in VERBS.items()
        ),
        ("missing", "no such page", "/nowhere"),
    ):
        # Typed into the address, so the empty page comes first, and asks with the session.
        browser.driver.get(f"http://{page.host}{address}")
        browser.heading("")
        browser.says(words)
        if name != "missing":
            problems += browser.problems(name)
        # Hostile rows are text.
        assert not browser.run("return document.querySelectorAll('main script').length")
        if name in VERBS:
            assert reached_by_tab(browser) == browser.run(f"return {IN_MAIN}.length")
    assert not problems, "\n".join(problems)


def test_links_reload_back_another_tab_and_the_keyboard_work(browser: Browser, page: Page) -> None:
    opened_page(browser, page)
    browser.complaints()
    browser.click("nav a", "Audit")
    browser.heading("Audit")
    assert browser.at() == "/audit"
    browser.driver.refresh()
    browser.heading("Audit")
    browser.driver.back()
    browser.heading("Databases")
    # By keys alone: the search, its result, and the first thing that Tab reaches.
    browser.keys("/", "migration", ENTER)
    browser.heading("Found")
    assert browser.at() == "/search?q=migration"
    browser.run("document.activeElement.blur(); document.body.focus()")
    browser.driver.get(f"http://{page.host}/")
    browser.heading("Databases")
    browser.run("document.querySelector('.skip').focus()")
    for words in ("Skip to the contents", "snap", "Databases", "Checks"):
        assert browser.run("return document.activeElement.innerText") == words
        if words != "Checks":
            browser.keys(TAB)
    browser.keys(ENTER)
    browser.heading("Drills and verifies")
    assert browser.run("return document.activeElement.tagName") == "H1"
    # A second tab has the session of the first.
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.driver.get(f"http://{page.host}/kept")
    browser.heading("Kept")
    browser.driver.close()
    browser.driver.switch_to.window(first)
    assert not browser.complaints()
    # Where the server is gone, a page that is opened again says so.
    browser.run("sessionStorage.clear()")
    browser.driver.get(f"http://{page.host}/audit")
    browser.heading("This session is over")


def test_a_commit_a_restore_and_its_undo_from_the_page(
    browser: Browser, page: Page, database: Database
) -> None:
    def orders() -> str:
        return database.psql("SELECT count(*) FROM orders")

    opened_page(browser, page)
    browser.complaints()
    browser.click("main a", "Record a snapshot")
    browser.heading("Record a snapshot")
    browser.type("#f-message", "from the <page>")
    browser.click("main button", "Commit")
    browser.says("done")
    assert re.fullmatch("/jobs/[0-9a-f]{16}", browser.at())
    browser.click("main a", "Look at the snapshot")
    browser.says("from the <page>")
    browser.driver.get(f"http://{page.host}/actions/restore?snapshot=pre-migration")
    browser.heading("Restore")
    browser.click("main button", "Show the plan")
    browser.says("waits for you")
    problems = browser.problems("asking")
    # The question is still there after a reload, and from every page.
    browser.driver.refresh()
    browser.says("Type its name to go on")
    browser.driver.get(f"http://{page.host}/")
    browser.click("a", "waits for your answer")
    # The first event has what the page was made with, and replaces no field in which is typed.
    mark = "const it = document.querySelector('#answer'); if (it) it.seen = 1; return it !== null"
    browser.until(lambda: browser.run(mark), "#answer")
    browser.until(lambda: browser.run("return document.activeElement.id") == "answer", "focus")
    assert browser.run("return document.querySelector('#answer').seen") == 1
    browser.type("#answer", "shop?")
    browser.click("main button", "Go on")
    browser.says("That was not its name")
    assert orders() == "2900"
    browser.type("#answer", database.name)
    browser.click("main button", "Go on")
    browser.says("The result")
    problems += browser.problems("restored")
    assert not problems, "\n".join(problems)
    assert orders() == "3000"
    browser.click("nav a", "Kept")
    browser.click("main a", "Undo")
    browser.heading("Undo")
    browser.click("main button", "Show the plan")
    browser.says("waits for you")
    browser.click("main button", "Change nothing")
    browser.says("Nothing was changed")
    assert orders() == "3000"
    browser.driver.get(f"http://{page.host}/actions/undo")
    browser.click("main button", "Show the plan")
    browser.type("#answer", database.name)
    browser.click("main button", "Go on")
    browser.says("The result")
    assert orders() == "2900"
    for verb, button in (("verify", "Verify"), ("drill", "Drill")):
        browser.driver.get(f"http://{page.host}/actions/{verb}")
        browser.click("main button", button)
        browser.says("The result")
        assert browser.run("return document.querySelector('#job .mark').innerText") == "done"
    # By keys alone: the first field, and Enter sends the form.
    browser.driver.get(f"http://{page.host}/actions/tag?snapshot=latest")
    browser.heading("Tag")
    browser.run("document.querySelector('.skip').focus()")
    for _ in range(80):
        if browser.run("return document.activeElement.id") == "f-name":
            break
        browser.keys(TAB)
    browser.keys("by-hand", ENTER)
    browser.says("by-hand ->")
    browser.driver.get(f"http://{page.host}/actions/forget?snapshot=start")
    browser.click("main button", "Forget")
    browser.says("has a tag, which protects it")
    assert not browser.complaints()
