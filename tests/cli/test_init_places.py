"""`snap init` where no folder can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.running.commandline import CommandLine


@pytest.mark.parametrize("inside", ["/proc", "a-file"])
def test_a_place_where_no_folder_can_be_made_is_named(snap: CommandLine, inside: str) -> None:
    (snap.work / "a-file").touch()
    place = Path(snap.work, inside, "backups")
    refused = snap("init", str(place), "--json")
    assert (refused.code, refused.error["kind"]) == (50, "store")
    assert refused.error["message"] == f'cannot make the folder "{place}"'
    assert str(place) in refused.error["detail"]
    assert "snap init PATH" in refused.error["hint"]
    assert not (snap.work / "snap.toml").exists()
