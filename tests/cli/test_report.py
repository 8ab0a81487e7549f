"""`snap report`: one file that stands alone, whatever the values in it."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree.ElementTree import Element

import html5lib
import pytest

from pgsnap import extras
from pgsnap.repository.repository import Repository
from pgsnap.web.pages.base import Asked
from pgsnap.web.pages.routes import PAGES
from pgsnap.web.rendering import render
from support.documents import documentation
from support.dumps.texts import HEAD, TAIL, entry
from support.running.commandline import CommandLine

SCRIPT = "<script>alert(1)</script>"
PICTURE = "\"'><img src=https://evil.example/x onerror=alert(1)>"
BIDI = "safe\u202egnp.exe\u0007"
MARKDOWN = "`|[a](https://evil.example) ![b](https://evil.example) @octocat **x**"
LONG = "long text " * 30_000
NAME = "we<b>ird | `table`"


def dump(rows: Mapping[int, str], *, wide: bool = False) -> bytes:
    """Return a dump of a table with a name and values that mean harm."""
    table = f'public."{NAME}"'
    columns = "id integer NOT NULL, same text, v text" + (", more text" if wide else "")
    lines = "".join(
        f"{key}\ts\t{value}" + ("\tx\n" if wide else "\n") for key, value in rows.items()
    )
    copied = f"COPY {table} (id, same, v{', more' if wide else ''}) FROM stdin;\n{lines}\\.\n"
    key = f"ALTER TABLE ONLY {table}\n    ADD CONSTRAINT p PRIMARY KEY (id);"
    return (
        HEAD
        + entry(NAME, "TABLE", f"CREATE TABLE {table} (\n    {columns}\n);")
        + entry(NAME, "TABLE DATA", copied)
        + entry(f"{NAME} p", "CONSTRAINT", key)
        + TAIL
    ).encode()


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    """Three snapshots of a database whose values mean harm, as do a message and a tag."""
    snap.ok("init")
    versions = [
        dump({1: "one", 2: SCRIPT, 3: LONG}),
        dump({1: "one", 2: SCRIPT, 3: LONG}),
        dump({1: PICTURE, 3: f"{LONG[:200_000]}NEW{LONG}", 4: BIDI, 5: MARKDOWN}, wide=True),
    ]
    for place, text in enumerate(versions):
        (snap.work / "dump.sql").write_bytes(text)
        arguments = ("--file", "dump.sql", "--database", "shop")
        snap.ok("commit", "-m", f"{place} {SCRIPT} @octocat", "--tag", f"<b>{place}", *arguments)
    return snap


def elements(text: str) -> list[Element]:
    """Return the elements of a page, as a browser makes them; wrong HTML is an error."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return list(parser.parse(text).iter())


def local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def words_of(found: list[Element]) -> str:
    return "\n".join(filter(None, ("".join(one.itertext()) for one in found[:1])))


REPORTS: dict[str, tuple[str, ...]] = {
    "database": (),
    "snapshot": ("latest",),
    "two": ("latest~1", "latest"),
    "rows": ("latest~1", "latest", "--rows", "9"),
    "table": ("--table", f'public."{NAME}"'),
    "rows as they were": ("latest", "--table", f'public."{NAME}"'),
    "row": ("--table", f'public."{NAME}"', "--row", "1"),
    "rows of a table": ("latest~2", "latest", "--table", f'public."{NAME}"'),
}


@pytest.mark.parametrize("which", REPORTS)
def test_a_report_stands_alone_and_runs_nothing(shop: CommandLine, which: str) -> None:
    shop.ok("report", *REPORTS[which], "--html", "r.html", "--database", "shop")
    file = shop.work / "r.html"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text("utf-8")
    found = elements(text)
    names = {local_name(one) for one in found}
    assert not names & {"script", "img", "iframe", "object", "link", "a", "form", "base"}
    for one in found:
        for name, value in one.attrib.items():
            assert not name.startswith("on")
            assert name not in {"href", "src", "style", "action"}, (name, value)
    [policy] = [one for one in found if one.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy.get("content")).startswith("default-src 'none';")
    # The style sheet asks nobody for anything either.
    [sheet] = [one for one in found if local_name(one) == "style"]
    assert "url(" not in str(sheet.text)
    assert "@import" not in str(sheet.text)
    assert not set("\u202e\u0007") & set(text)
    assert len(text) < 200_000
    if which != "snapshot":
        assert "we<b>ird | `table`" in words_of(found)


def test_values_are_in_a_report_only_where_they_are_asked_for(shop: CommandLine) -> None:
    for which, has_values in (("database", False), ("two", False), ("rows", True)):
        for kind in ("--html", "--markdown"):
            text = shop.ok("report", *REPORTS[which], kind, "-", "--database", "shop").out
            assert ("evil.example" in text) is has_values, (which, kind)
    html = shop.ok("report", *REPORTS["rows"], "--html", "-").out
    words = words_of(elements(html))
    # Removed and added, changed at the place where they differ, and a new column.
    for part in (SCRIPT, PICTURE, "safe\\u202egnp.exe\\x07", MARKDOWN, "NEW", "300,000 characters"):
        assert part in words, part
    assert "more text" in words
    # What changed stands beside the key.
    heads = [one for one in elements(html) if local_name(one) == "th" and one.get("scope") == "col"]
    names = ["".join(one.itertext()).split()[0] for one in heads if "".join(one.itertext()).strip()]
    assert [one for one in names if one in {"id", "v", "more", "same"}] == [
        *("id", "v", "more", "same"),
    ]
    assert ">+2<" in html.replace(" ", "")


def test_nothing_in_markdown_has_a_meaning_that_a_value_gave_it(shop: CommandLine) -> None:
    for which in REPORTS:
        text = shop.ok("report", *REPORTS[which], "--markdown", "-", "--database", "shop").out
        outside = re.sub(r"(?ms)^(`{3,})diff$.*?^\1$", "", text)
        outside = re.sub(r"<code>[^<`|*\[\]!@]*</code>", "", outside)
        outside = re.sub(r"`[^`\n|]*`", "", outside).replace("<br>", "")
        assert not set("<>[]@`!") & set(outside), outside
        # Each row of a table has as many cells as its head.
        for table in re.findall(r"(?m)(?:^\|.*\|$\n)+", text):
            assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_files_are_whole_and_not_replaced_unasked(shop: CommandLine) -> None:
    arguments = ("report", "<b>0", "<b>2", "--html", "r.html", "--markdown", "r.md")
    done = shop.ok(*arguments, "--json").json
    assert [documentation.field_names(done)] == documentation.fields(
        documentation.section("snap report")
    )
    assert {one["file"]: one["bytes"] for one in done["files"]} == {
        name: (shop.work / name).stat().st_size for name in ("r.html", "r.md")
    }
    refused = shop(*arguments)
    assert (refused.code, "--force" in refused.err) == (2, True)
    shop.ok(*arguments, "--force")
    for wrong in (
        ("report",),
        ("report", "--html", "-", "--markdown", "-"),
        ("report", "--html", "-", "--json"),
        ("report", "--html", "x", "--markdown", "x"),
        ("report", "latest", "--table", "t", "--html", "x"),
        ("report", "--row", "1", "--html", "x"),
        ("report", "--rows", "1001", "--html", "x"),
        ("report", "latest", "--table", "t", "--row", "1", "--html", "x"),
        ("report", "--table", "nothing", "--html", "x"),
        ("report", "--html", "no/where.html"),
    ):
        assert shop(*wrong).code == 2, wrong
    assert not (shop.work / "x").exists()
    assert [one["command"] for one in shop.ok("audit", "--json").json].count("report") >= 3


def test_without_jinja_it_is_said_what_is_missing(
    shop: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    refused = shop("report", "--html", "x.html")
    assert refused.code == 2
    assert extras.hint("ui") in refused.err
    shop.ok("report", "--markdown", "x.md")


def linked(text: str) -> Iterator[str]:
    """Yield where the links of a page lead; its forms lead to pages too."""
    for one in elements(f"<!doctype html><title>x</title>{text}"):
        assert one.get("action", "/") in PAGES
        if one.get("href") is not None:
            yield str(one.get("href"))


def test_every_link_of_a_page_leads_to_a_page(shop: CommandLine) -> None:
    acts: set[str] = set()
    seen: dict[str, Any] = {}
    waiting = ["/database?label=shop"]
    with Repository.open(shop.work / "database" / "backups") as repo:
        while waiting:
            address = waiting.pop()
            if address in seen:
                continue
            parts = urlsplit(address)
            assert not parts.netloc
            if parts.path.startswith("/actions/"):
                acts.add(parts.path)
                continue
            asked = Asked(repo, datetime.now(UTC), dict(parse_qsl(parts.query)), acts=True)
            page = PAGES[parts.path](asked)
            text = render(page, now=asked.now, layout="fragment.html", acts=True)
            seen[address] = page
            if parts.path != "/":
                waiting += linked(text)
    assert {urlsplit(one).path for one in seen} >= {
        "/database",
        "/snapshot",
        "/diff",
        "/table",
        "/rows",
    }
    assert acts == {"/actions/restore"}
