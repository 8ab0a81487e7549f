"""Terminals of 60, 80 and 120 columns: no line is wider, nothing to be copied is broken; and long
results go through a pager."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgsnap.cli import commands
from pgsnap.cli.text import render
from pgsnap.cli.text.layout import fitted
from support.dumps.texts import plain_dump
from support.running import terminals
from support.running.commandline import CommandLine

WIDTHS = (60, 80, 120)
LONG = [
    "HINT:  Drop it first (snap undo --discard), or let the restore drop it when it is done.",
    "HINT:  As a superuser: GRANT pg_signal_backend TO \"a;b\"; Or connect as one of them.",
    "  Note:   the database shop lets nobody in now; to open it afterwards:"
    " ALTER DATABASE shop ALLOW_CONNECTIONS true;",
    "warning: the last drill failed; rows differ in one of three tables; when that is mended:"
    " snap drill",
    "50cdfa1c32de  2 minutes ago  101.1 MB  +30 kB  (before) a message that goes on and on",
    "HINT:  In that database: ROLLBACK PREPARED 'it''s'; ROLLBACK PREPARED 'b'; (or commit them).",
    "HINT:  Run `apt install podman-compose postgresql-client`, or name the database by --dsn.",
]  # fmt: skip


def on_terminal(snap: CommandLine, columns: int, *arguments: str, **environment: str) -> list[str]:
    """Return the lines that a run leaves on a terminal, without styles; it must end well."""
    environment = {"COLUMNS": str(columns), "PAGER": "cat", **environment}
    code, shown = terminals.on_terminal(snap, "", *arguments, **environment)
    assert code in (0, 4), shown
    return [
        re.sub("\x1b\\[[?0-9;]*[a-zA-Z]", "", line.rstrip("\r").rsplit("\r")[-1])
        for line in shown.split("\n")
    ]


def two_snapshots(snap: CommandLine) -> None:
    snap.ok("init")
    for rows in (3, 40):
        (snap.work / "dump.sql").write_bytes(plain_dump(*range(rows)))
        words = f"a message of the snapshot with {rows} rows that is longer than a line has room"
        snap.ok("commit", "-m", words, "--file", "dump.sql", "--database", "shop")


@pytest.mark.parametrize("columns", WIDTHS)
def test_lines_are_fitted_and_what_is_to_be_copied_is_whole_and_alone(columns: int) -> None:
    for line in LONG:
        shown = fitted([line], columns, apart=True)
        assert max(map(render.width, shown)) <= columns
        # Of what a sentence ended with, nothing begins a line.
        assert re.findall(r"\w+", " ".join(shown)) == re.findall(r"\w+", line)
    stripped = [line.strip() for line in fitted(LONG, columns, apart=True)]
    for whole in (
        'GRANT pg_signal_backend TO "a;b";',
        "ALTER DATABASE shop ALLOW_CONNECTIONS true;",
        "snap drill",
        "ROLLBACK PREPARED 'it''s'; ROLLBACK PREPARED 'b';",
    ):
        assert whole in stripped
    assert any("`apt install podman-compose postgresql-client`" in line for line in stripped)


def test_a_command_that_is_too_long_stays_whole_and_other_outputs_are_as_they_were() -> None:
    command = f"snap restore pre-migration --to {'x' * 90}"
    assert fitted([f"HINT:  Then: {command}"], 60) == ["HINT:  Then:", f"       {command}"]
    assert fitted(LONG, None) == LONG
    short = ["next: snap log", "", "  a  b"]
    assert fitted(short, 60) == short


@pytest.mark.parametrize("columns", WIDTHS)
def test_help_fits_but_for_its_examples(snap: CommandLine, columns: int) -> None:
    snap.setenv("COLUMNS", str(columns))
    for topic in (*commands.NAMES, "options"):
        text, _, examples = snap.ok("help", topic).out.partition("Examples:")
        assert max(map(len, text.splitlines())) <= columns
        assert topic == "options" or "snap help options" in examples.splitlines()[-1]


def test_results_fit_the_terminal(snap: CommandLine) -> None:
    two_snapshots(snap)
    snap.ok("tag", "before-the-migration-of-the-orders", "latest")
    for columns in WIDTHS:
        for arguments in (
            ("log",),
            ("log", "--oneline", "--database", "shop"),
            ("diff", "latest~1", "latest"),
            ("stats",),
            ("doctor",),
        )[: 5 if columns == 60 else 2]:
            shown = on_terminal(snap, columns, *arguments)
            assert any(line.strip() for line in shown)
            # A path by itself may be longer than a terminal is wide.
            too_wide = [line for line in shown if render.width(line) > columns]
            assert [line for line in too_wide if " " in line.strip()] == []


def test_long_results_go_through_the_pager_that_is_named(snap: CommandLine, tmp_path: Path) -> None:
    two_snapshots(snap)
    pager = tmp_path / "pager"
    pager.write_text(f'#!/bin/sh\necho "LESS=$LESS $1" >>{tmp_path}/seen\ncat >>{tmp_path}/seen\n')
    pager.chmod(0o755)
    for arguments in (("log",), ("diff", "latest~1", "latest"), ("audit",)):
        shown = on_terminal(snap, 80, *arguments, SNAP_PAGER=f"{pager} word", PAGER="false")
        assert not any(word in "".join(shown) for word in ("snapshot ", "->", "commit"))
    seen = (tmp_path / "seen").read_text()
    assert seen.count("LESS=FRX word\n") == 3
    assert "snapshot " in seen
    assert "no difference" in seen or "->" in seen
    direct = on_terminal(snap, 80, "log", "--no-pager", PAGER=str(pager))
    assert any("snapshot " in line for line in direct)
    # The user ended it before the end of the text.
    on_terminal(snap, 80, "log", PAGER="true")
    snap.setenv("PAGER", str(pager))
    assert "snapshot " in snap.ok("log").out
    assert (tmp_path / "seen").read_text() == seen
