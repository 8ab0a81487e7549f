"""What is printed names the program as it was started: snap, pgsnap, or another way to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pgsnap import __version__
from pgsnap.cli.app import command
from pgsnap.cli.text.short_name import STARTED_AS
from support.running.commandline import SOURCE, CommandLine

COMMANDS = list(command().commands)
NAMES = ("snap", "pgsnap")
_BARE = re.compile(rf"(?<![\w./$-])snap (?:{'|'.join(COMMANDS)}|--)")

Start = Callable[..., None]


@pytest.fixture
def started(snap: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Lets the program have been started by a script of a name; *before* precedes on PATH."""
    scripts = snap.folder / "bin"
    scripts.mkdir()
    for name in NAMES:
        script = scripts / name
        script.write_text("#!/usr/bin/env python3\nfrom pgsnap.cli import main\n")
        script.chmod(0o755)

    def start(name: str, *before: Path, is_on_path: bool = True) -> None:
        monkeypatch.setattr(sys, "argv", [str(scripts / name)])
        known = [scripts] if is_on_path else []
        snap.setenv("PATH", os.pathsep.join(map(str, [*before, *known, "/usr/bin", "/bin"])))

    return start


def words(text: str) -> list[str]:
    """Return the words of *text* with each name as the first: lines may break elsewhere."""
    return [re.sub(r"\bpgsnap(?![\w./-])", "snap", word) for word in text.split()]


@pytest.mark.parametrize("topic", [None, *COMMANDS])
def test_every_help_says_the_name_of_the_program(
    snap: CommandLine, started: Start, topic: str | None
) -> None:
    shown = {}
    for name in NAMES:
        started(name)
        shown[name] = snap.ok(*([topic] if topic else []), "--help").out
        assert snap.ok("help", *([topic] if topic else [])).out == shown[name]
    assert f"Usage: pgsnap {topic or ''}".rstrip() in shown["pgsnap"]
    assert not _BARE.search(shown["pgsnap"])
    assert words(shown["pgsnap"]) == words(shown["snap"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("log",),
        ("commit",),
        ("restore",),
        ("tag", "--delete", "a", "b"),
        ("show", "nothing"),
        ("help", "nothing"),
        ("push",),
        ("remote", "rename"),
        ("key", "add", "--reencrypt", "-q"),
        ("database", "adopt"),
        ("schedule", "install", "--with", "systemd", "x"),
        ("cat", "latest", "--json"),
        ("verify", "--bytes"),
        ("log", "--forgotten", "--remote", "offsite"),
    ],
    ids=" ".join,
)
def test_errors_and_hints_say_the_name_of_the_program(
    snap: CommandLine, started: Start, arguments: tuple[str, ...]
) -> None:
    started("snap")
    first = snap(*arguments)
    started("pgsnap")
    second = snap(*arguments)
    assert first.code == second.code != 0
    assert second.err.startswith(("pgsnap: error: ", '{\n  "error"'))
    assert not _BARE.search(second.err)
    assert words(second.err.replace("pgsnap:", "snap:")) == words(first.err)


def test_news_findings_and_files_say_the_name_and_the_data_of_users_stay(
    snap: CommandLine, started: Start
) -> None:
    started("pgsnap")
    assert snap.ok("--version").out == f"pgsnap {__version__}\n"
    assert 'next: pgsnap commit -m "first snapshot"' in snap.ok("init").out
    assert "`pgsnap gc` keeps" in (snap.work / "snap.toml").read_text()
    assert "pgsnap commit -m" in snap("log").err
    steps = snap("doctor", "--json").json["steps"]
    assert not any(_BARE.search(step["text"] + step["next"]) for step in steps)
    assert any("pgsnap commit" in step["next"] for step in steps)
    assert not _BARE.search(snap("doctor").out)
    error = snap("show", "snap log", "--json", "--database", "snap tag").error
    assert error["message"] == 'no snapshot of database "snap tag" is named "snap log"'
    assert error["hint"].startswith("See what there is: pgsnap log, pgsnap tag")


def test_where_another_program_is_called_snap_ours_is_named_so_that_it_starts(
    snap: CommandLine, started: Start
) -> None:
    foreign = snap.folder / "foreign"
    foreign.mkdir()
    (foreign / "snap").write_bytes(b"\x7fELF of snapd")
    (foreign / "snap").chmod(0o755)

    def hint() -> str:
        return str(snap("show", "nothing", "--json").error["hint"])

    snap.ok("init")
    started("snap", foreign)
    assert hint() == "See what there is: pgsnap log, pgsnap tag"
    assert snap("show", "nothing").err.startswith("snap: error:")
    script = snap.folder / "bin" / "snap"
    started("snap", foreign, is_on_path=False)
    assert hint() == f"See what there is: {script} log, {script} tag"
    assert f"Usage: {script} log" in snap.ok("log", "--help").out
    # As another program's module, or by a scheduler: there is no name to go by.
    sys.argv[0] = "another.py"
    assert hint() == "See what there is: pgsnap log, pgsnap tag"
    started("snap")
    sys.argv[0] = "another.py"
    assert hint() == "See what there is: snap log, snap tag"


def test_as_a_module_it_names_the_module(snap: CommandLine) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pgsnap", "log"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        cwd=snap.work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 10
    assert done.stderr.startswith("snap: error: ")
    assert f"{sys.executable} -P -m pgsnap init " in done.stderr


def test_a_command_that_the_demo_runs_speaks_with_the_name_of_the_demo(
    snap: CommandLine, started: Start
) -> None:
    started("pgsnap")
    snap.setenv(STARTED_AS, "pgsnap")
    shown = snap.process("log")
    assert shown.err.startswith("pgsnap: error: ")
    assert "pgsnap init " in shown.err
    snap.setenv(STARTED_AS, "rm -r")
    assert snap.process("log").err.startswith("snap: error: ")
