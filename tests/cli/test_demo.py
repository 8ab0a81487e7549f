"""`snap demo`: the tours work to their ends, fit a terminal, and leave nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgsnap import extras
from support.running.commandline import CommandLine


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("options", [(), ("--offsite",)], ids=["rollback", "offsite"])
def test_a_tour_proves_what_it_shows_and_leaves_nothing(
    snap: CommandLine, options: tuple[str, ...]
) -> None:
    # Too long for a socket's path: the server's folder goes elsewhere.
    folder = snap.folder / ("temporary" * 8)
    folder.mkdir()
    snap.setenv("TMPDIR", str(folder))
    shown = snap.popen("demo", "--scale", "0.01", *options)
    out, err = shown.communicate(timeout=1200)
    assert shown.returncode == 0, err
    assert "The same, byte for byte." in out
    # What these lines name may be of any length; on a terminal they are wrapped.
    places = (str(folder), "/pgsnap-cluster-", "made roles", "definitions: ")
    too_long = [line for line in out.splitlines() if len(line) > 80]
    assert [line for line in too_long if not any(place in line for place in places)] == []
    assert "WARNING" not in err
    where = re.findall(r"\S*/pgsnap-cluster-\w+", out + err)
    assert where
    assert not [one for one in where if Path(one.rpartition("@")[2]).exists()]
    assert list(folder.iterdir()) == []


def test_without_its_server_the_tour_off_site_names_what_to_install(snap: CommandLine) -> None:
    blocked = snap.folder / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys; sys.modules['localbucket'] = None\n")
    snap.setenv("PYTHONPATH", str(blocked))
    shown = snap.popen("demo", "--offsite")
    out, err = shown.communicate(timeout=60)
    assert (shown.returncode, out) == (1, "")
    assert "needs an S3 server, localbucket, which is not installed" in err
    assert f"HINT:  {extras.hint('demo')}" in err
