"""`snap demo`: the tour works to its end, fits a terminal, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

from support.running.commandline import CommandLine


def test_the_tour_proves_what_it_shows_and_leaves_nothing(snap: CommandLine) -> None:
    # Too long for a socket's path: the server's folder goes elsewhere.
    folder = snap.folder / ("temporary" * 8)
    folder.mkdir()
    snap.setenv("TMPDIR", str(folder))
    shown = snap.popen("demo", "--scale", "0.01")
    out, err = shown.communicate(timeout=300)
    assert shown.returncode == 0, err
    assert "The same, byte for byte." in out
    places = (str(folder), "/pgsnap-cluster-")
    too_long = [line for line in out.splitlines() if len(line) > 80]
    assert [line for line in too_long if not any(place in line for place in places)] == []
    assert "WARNING" not in err
    (where,) = {line.split("@")[1].split("/shop,")[0] for line in err.splitlines() if "@" in line}
    assert not Path(where).exists()
    assert list(folder.iterdir()) == []
