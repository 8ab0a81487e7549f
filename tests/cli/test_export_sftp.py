"""`snap export --format` straight to an SFTP server."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.dumps.scripted import shop
from support.running.commandline import CommandLine
from support.servers.sshd import Server, Sshd, serving, use_home

pytest.importorskip("asyncssh")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Sshd) as server:
        yield server


def test_tables_go_to_an_sftp_server_and_nothing_beside_them_is_touched(
    snap: CommandLine, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.knows(tmp_path)
    use_home(tmp_path, monkeypatch)
    (snap.work / "dump.sql").write_bytes(b"".join(text for _, text in shop(400).texts))
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    # A folder for temporary files, as home folders and servers have one: the user's own.
    others = server.data / "tmp"
    home = server.data.stat()
    for name in ("thesis", "0123456789abcdef"):
        (others / name).mkdir(parents=True)
        (others / name / "page").write_text("mine")
    for one in (others, *others.rglob("*")):
        os.chown(one, home.st_uid, home.st_gid)
    for one in (*others.rglob("*"), others):
        os.utime(one, (time.time() - 40 * 86_400,) * 2)
    before = sorted(others.rglob("*"))
    # As in a jail: the account may write into this folder, and not beside it.
    lake = server.data / "lake"
    lake.mkdir()
    os.chown(lake, home.st_uid, home.st_gid)
    jailed = server.data / "jail" / "upload"
    jailed.mkdir(parents=True)
    os.chown(jailed, home.st_uid, home.st_gid)
    for folder, again in ((lake, ()), (jailed, ()), (lake, ("--force",))):
        url = f"sftp://{server.user}@127.0.0.1:{server.port}{folder}"
        done = snap.ok("export", "latest", url, "--format", "csv", "--json", *again).json
        files = [file for table in done["tables"] for file in table["files"]]
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert there == {*files, "_SUCCESS"}
        assert json.loads((folder / "_SUCCESS").read_text())["snapshot"] == done["id"]
        (users,) = done["tables"][0]["files"]
        rows = list(csv.DictReader(io.StringIO((folder / users).read_text(), newline="")))
        assert len(rows) == done["tables"][0]["rows"] == 400
        assert sorted(others.rglob("*")) == before
        assert not (folder / "tmp").exists()
    refused = snap("export", "latest", url, "--format", "csv")
    assert refused.code == 2
    assert "is not empty" in refused.err
