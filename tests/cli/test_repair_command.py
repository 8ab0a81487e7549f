"""`snap repair` as users and scripts see it."""

from __future__ import annotations

import shutil

import pytest

from support.documents import documentation
from support.faults.damaging import DUMPS, flip
from support.running.commandline import CommandLine


@pytest.fixture
def damaged(snap: CommandLine) -> CommandLine:
    """A repository with a damaged pack, and a sound copy of it."""
    snap.ok("init", "store")
    (snap.work / "dump.sql").write_text(DUMPS["shop-1"])
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop", "--tag", "one")
    shutil.copytree(snap.work / "store", snap.work / "copy")
    (pack,) = (file for file in (snap.work / "store" / "packs").rglob("*") if file.is_file())
    flip(pack, pack.stat().st_size // 2)
    return snap


def test_what_cannot_be_mended_is_named_with_what_helps(damaged: CommandLine) -> None:
    result = damaged("repair")
    assert result.code == 60
    assert "damaged: section data public.users" in result.out
    assert "put aside: damaged/packs/" in result.out
    assert "snap commit" in result.err
    assert "snap repair --from PATH" in result.err


def test_a_copy_mends_it_and_json_is_as_documented(damaged: CommandLine) -> None:
    lost = damaged("repair", "--json")
    assert lost.code == 60
    mended = damaged.ok("repair", "--from", "copy", "--json").json
    assert mended["fetched_chunks"] > 0
    assert mended["lost"] == []
    found = documentation.field_names(lost.json) | documentation.field_names(mended)
    assert [found - {"lost", "mended"}] == documentation.fields(
        documentation.section("snap repair")
    )
    assert damaged.ok("cat", "latest").out == DUMPS["shop-1"]
    assert damaged.ok("verify", "--data").out.startswith("no damage")


def test_a_copy_that_is_none_is_refused(damaged: CommandLine) -> None:
    assert damaged("repair", "--from", "nowhere").code == 10
    assert damaged("repair", "--from", "store").code == 2


def test_a_damaged_tag_can_be_deleted_or_set_again(damaged: CommandLine) -> None:
    tag = damaged.work / "store" / "tags" / "shop" / "one"
    for words in (("tag", "--delete", "one"), ("tag", "--force", "one", "latest")):
        tag.write_bytes(b"garbage")
        refused = damaged("log")
        assert refused.code == 60
        assert "snap tag --delete one" in refused.err
        damaged.ok(*words)
        damaged.ok("log")
