"""`snap verify` as users and scripts see it."""

from __future__ import annotations

import pytest

from support.documents import documentation
from support.faults.damaging import DUMPS, flip
from support.running.commandline import CommandLine


@pytest.fixture
def shop(snap: CommandLine) -> CommandLine:
    snap.ok("init", "store")
    (snap.work / "dump.sql").write_text(DUMPS["shop-1"])
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop", "--tag", "one")
    return snap


def damage(snap: CommandLine) -> None:
    (pack,) = (file for file in (snap.work / "store" / "packs").rglob("*") if file.is_file())
    flip(pack, pack.stat().st_size // 2)


def test_a_sound_repository_is_told_in_one_line(shop: CommandLine) -> None:
    result = shop.ok("verify", "--data")
    assert result.out.startswith("no damage  1 snapshot  ")
    assert len(result.out.splitlines()) == 1


def test_damage_is_told_with_table_snapshot_and_command(shop: CommandLine) -> None:
    damage(shop)
    assert shop.ok("verify").out.startswith("no damage")
    result = shop("verify", "--data", "latest", "one")
    assert result.code == 60
    assert "damaged: section data public.users" in result.out
    assert shop.ok("log", "--json").json[0]["id"][:12] in result.out
    assert "next:" in result.out
    assert "snap repair" in result.err


def test_json_fields_of_findings_are_those_documented(shop: CommandLine) -> None:
    damage(shop)
    result = shop("verify", "--data", "--json")
    assert result.code == result.error["exit_code"] == 60
    assert [documentation.field_names(result.json)] == documentation.fields(
        documentation.section("snap verify")
    )


def test_an_unknown_revision_is_refused(shop: CommandLine) -> None:
    assert shop("verify", "nothing").code == 20
