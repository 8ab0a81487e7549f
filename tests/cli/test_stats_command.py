"""`snap stats`, and `snap verify --sample`, as users and scripts see them."""

from __future__ import annotations

import pytest

from pgsnap.cli.views.stats import BLOCKS, Bars
from support.documents import documentation
from support.faults.damaging import DUMPS, HEAD, TAIL, entry
from support.running.commandline import CommandLine


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    snap.ok("init", "store")
    for name in ("shop-1", "shop-2"):
        (snap.work / "dump.sql").write_text(DUMPS[name])
        snap.ok("commit", "-m", name, "--file", "dump.sql", "--database", "shop", "--tag", name)
    return snap


def test_json_fields_of_stats_are_those_documented(shop: CommandLine) -> None:
    whole = shop.ok("stats", "--json").json
    tables = shop.ok("stats", "--by-table", "--json").json
    assert [documentation.field_names(whole), documentation.field_names(tables)] == (
        documentation.fields(documentation.section("snap stats"))
    )
    assert [row["tags"] for row in whole["per_snapshot"]] == [["shop-2"], ["shop-1"]]
    parts = ("data", "list", "pack_table", "index", "manifest", "note", "tag", "other")
    assert whole["total_bytes"] == sum(whole[f"{part}_bytes"] for part in parts)
    assert tables["stored_bytes"] == sum(row["stored_bytes"] for row in tables["tables"])


def test_a_revision_shows_that_snapshot_alone(shop: CommandLine) -> None:
    (row,) = shop.ok("stats", "shop-1", "--json").json["per_snapshot"]
    assert row["freed_bytes"] > 0
    tables = shop.ok("stats", "shop-1", "--by-table", "--json").json
    assert tables["snapshots"] == 1
    assert tables["newest"] == tables["snapshot"] == row["id"]
    assert {row["versions"] for row in tables["tables"] if row["kind"] == "data"} == {1}


def test_the_page_names_databases_snapshots_and_what_they_free(shop: CommandLine) -> None:
    page = shop.ok("stats").out
    for words in ("All dumps", "Repository", "times smaller", "FREES", "(shop-1)"):
        assert words in page
    page = shop.ok("stats", "--by-table").out
    assert "public.users" in page
    assert "(lists of sections)" in page


def test_twenty_tables_are_shown_and_all_with_all(snap: CommandLine) -> None:
    snap.ok("init", "store")
    (snap.work / "dump.sql").write_text(
        HEAD + "".join(entry(f"t{number}", 5, number) for number in range(25)) + TAIL
    )
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop")
    few = snap.ok("stats", "--by-table").out
    assert few.count("public.t") <= 20
    assert "more (--all)" in few
    assert snap.ok("stats", "--by-table", "--all").out.count("public.t") == 25


def test_tables_of_one_of_several_databases_must_be_asked_for(shop: CommandLine) -> None:
    (shop.work / "dump.sql").write_text(DUMPS["blog-1"])
    shop.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "blog")
    assert shop("stats", "--by-table").code == 20
    assert "public.posts" in shop.ok("stats", "--by-table", "--database", "blog").out
    assert len(shop.ok("stats", "--json").json["databases"]) == 2


def test_bars_are_as_long_as_their_share_with_and_without_blocks() -> None:
    blocks, plain = Bars(True), Bars(False)
    assert blocks.bar(8, 8) == BLOCKS[-1] * 16
    assert blocks.bar(5, 10) == BLOCKS[-1] * 8
    assert blocks.bar(1, 10**9) == BLOCKS[0]
    assert (plain.bar(8, 8), plain.bar(5, 10), plain.bar(1, 10**9)) == ("#" * 16, "#" * 8, "#")
    assert blocks.bar(0, 10) == plain.bar(0, 10) == plain.bar(0, 0) == ""


def test_a_terminal_without_blocks_gets_plain_bars(shop: CommandLine) -> None:
    shop.setenv("PYTHONIOENCODING", "ascii")
    result = shop.process("stats")
    assert result.code == 0, result.err
    assert "#" in result.out
    assert "\\u" not in result.out


def test_a_sample_says_what_was_read_and_what_never_was(shop: CommandLine) -> None:
    (shop.work / "store" / "notes").mkdir(exist_ok=True)
    first = shop.ok("verify", "--sample", "1%").out.splitlines()
    assert "1 pack of " in first[0]
    assert first[1].startswith("never read: 1 pack of ")
    last = shop.ok("verify", "--sample", "100%", "--max-duration", "1h").out.splitlines()
    assert last[1] == "every byte was read within the last day"
    fields = shop.ok("verify", "--sample", "1kB", "--json").json
    assert fields["packs_never_read"] == 0
    assert fields["oldest_read"].endswith("Z")
    assert fields["everything_read"] is False


@pytest.mark.parametrize("size", ["0%", "101%", "10", "ten", "0GB", "-5%", "%", "1 XB", ""])
def test_a_sample_that_is_none_is_refused(shop: CommandLine, size: str) -> None:
    result = shop("verify", f"--sample={size}")
    assert result.code == 2
    assert "10%" in result.err


def test_a_duration_needs_reading_to_bound(shop: CommandLine) -> None:
    assert shop("verify", "--max-duration", "5min").code == 2
    assert shop("verify", "--data", "--max-duration", "0s").code == 2
    assert shop("verify", "latest", "--sample", "10%").code == 2
