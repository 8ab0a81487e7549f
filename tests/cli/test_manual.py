"""The man pages say what `--help` says, and man and mandoc print them without a warning."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from pgsnap.cli import manual
from pgsnap.cli.app import command
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.help_text import GLOBAL_PANEL
from pgsnap.errors import EXIT_CODES

COMMANDS = command().commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manual.main(tmp_path)
    return tmp_path


def words(page: Path) -> str:
    """Return the words of a page, without requests, fonts and escapes."""
    text = re.sub(r"^\.[A-Z]{2}$", "", page.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\f[BIR]|\\&", "", text)
    for shown, written in manual.CHARACTERS.items():
        text = text.replace(written, shown)
    return " ".join(text.split())


def test_there_is_a_page_for_each_command_under_both_names(folder: Path) -> None:
    names = {"", *(f"-{name}" for name in COMMANDS)}
    pages = {f"{program}{name}.1" for program in ("snap", "pgsnap") for name in names}
    assert {path.name for path in folder.glob("man1/*")} == pages
    for path in folder.glob("man1/pgsnap*"):
        other = path.name.removeprefix("pg")
        assert path.read_text() == f".so man1/{other}\n"
        assert (folder / "man1" / other).stat().st_size > 500


def test_pages_say_what_help_says(folder: Path) -> None:
    main = words(folder / "man1/snap.1")
    for name, found in COMMANDS.items():
        assert f"snap-{name}(1)" in main
        page = words(folder / f"man1/snap-{name}.1")
        assert " ".join((found.help or "").replace("`", "").split()) in page
        for line in (found.epilog or "").strip().splitlines():
            assert " ".join(line.split()) in page
        for param in found.params:
            record = param.get_help_record(click.Context(found, info_name=name))
            if record is not None:
                is_global = getattr(param, "rich_help_panel", None) == GLOBAL_PANEL
                text = " ".join(" ".join(record).replace("`", "").split())
                assert text in (main if is_global else page)
    for code, meaning in EXIT_CODES:
        assert f"{code} {meaning}" in main


def test_the_page_of_snap_toml_names_every_key(folder: Path) -> None:
    page = (folder / "man5/snap.toml.5").read_text()
    for name, key in KEYS.items():
        for one in (key.keys or {}) if key.keys is not None else {name: key}:
            assert f"\n.TP\n\\fB{one}\\fR" in page
        if key.variable:
            assert f"\\fB{key.variable}\\fR" in (folder / "man1/snap.1").read_text()


def test_man_and_mandoc_have_no_warning_about_a_page(folder: Path) -> None:
    pages = sorted(page for page in folder.glob("man?/*") if not page.name.startswith("pgsnap"))
    programs = (["man", "--warnings", "-l"], ["mandoc", "-T", "lint", "-W", "warning"])
    there = [program for program in programs if shutil.which(program[0])]
    if not there:
        pytest.skip("needs man or mandoc: apt-get install man-db mandoc")
    for program in there:
        environ = {**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*program, *pages], capture_output=True, text=True, env=environ)
        assert (done.returncode, done.stderr) == (0, "")
        if program[0] == "man":
            assert done.stdout.count("SEE ALSO") == len(pages)
        else:
            assert done.stdout == ""
