"""`snap reindex` as users and scripts see it."""

from __future__ import annotations

from support.documents import documentation
from support.faults.damaging import DUMPS, flip
from support.running.commandline import CommandLine


def test_the_index_is_made_anew_and_what_is_left_out_is_named(snap: CommandLine) -> None:
    snap.ok("init", "store")
    (snap.work / "dump.sql").write_text(DUMPS["shop-1"])
    snap.ok("commit", "-m", "x", "--file", "dump.sql", "--database", "shop")
    assert "1 pack" in snap.ok("reindex").out
    assert snap.ok("cat", "latest").out == DUMPS["shop-1"]
    (manifest,) = (snap.work / "store" / "snapshots").iterdir()
    flip(manifest, 40)
    text = snap.ok("reindex").out
    assert f"left out: snapshots/{manifest.name}" in text
    assert "next: snap repair" in text
    made = snap.ok("reindex", "--json").json
    assert [documentation.field_names(made)] == documentation.fields(
        documentation.section("snap reindex")
    )
    assert snap("reindex", "--repo", "nowhere").code == 10
