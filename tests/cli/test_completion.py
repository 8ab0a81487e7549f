"""What shells offer for a word that is not finished: as the program answers, and in real shells."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pgsnap.cli import commands
from pgsnap.cli.app import command
from pgsnap.cli.completion import VARIABLE, values
from pgsnap.cli.console.terminal import Terminal
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.repository.repository import Repository
from support.dumps.scripted import dump, rows, table
from support.repositories.made import day, record
from support.running.commandline import SOURCE, CommandLine
from support.running.terminals import Typist
from support.servers.databases import Database
from support.servers.debian import needs_program

NAMES = ("snap", "pgsnap")
_KEY = "\x14"


@pytest.fixture
def programs(snap: CommandLine, repository: Path) -> Path:
    """A folder with the program under both names, first on PATH; and things to offer: tags, a
    remote, compose services, and a table whose name needs quotes."""
    with Repository.open(repository) as repo:
        tables = (table("public", "orders", rows(9, seed=1)), table("Shop", "Order: Items", []))
        newest = record(repo, dump(*tables), message="as it was", at=day(9)).snapshot_id
    for tag in ("pre-migration", "release/4.2", "before-restore/2026-01-09T000000Z"):
        snap.ok("tag", tag, newest.hex())
    with (snap.work / "snap.toml").open("a") as config:
        url = (snap.folder / "off site").as_uri()
        config.write(f'services = ["strapi"]\n[remotes.offsite]\nurl = "{url}"\n')
    snap.ok("init", url)
    snap.ok("push", "offsite")
    snap.ok("fetch", "offsite")
    (snap.work / "compose.yaml").write_text(
        "services:\n  web:\n    image: nginx\n  db:\n    image: postgres:15\n"
    )
    folder = snap.folder / "bin"
    folder.mkdir()
    for name in NAMES:
        script = folder / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(SOURCE)!r})\n"
            "from pgsnap.cli import main\nsys.exit(main())\n"
        )
        script.chmod(0o755)
    snap.setenv("PATH", os.pathsep.join([str(folder), "/usr/bin", "/bin"]))
    snap.setenv("TERM", "dumb")
    return folder


def offered(snap: CommandLine, *words: str) -> list[str]:
    """Return the answer for a command line: what is to be offered, and the values."""
    done = subprocess.run(
        ["snap", "--", *words],
        env={**os.environ, VARIABLE: "bash"},
        cwd=snap.work,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("programs")
def test_each_place_of_a_command_line_is_offered_what_can_stand_there(snap: CommandLine) -> None:
    [newest, *_] = snap.ok("log", "--json").json
    assert offered(snap, "") == ["values", *commands.NAMES]
    shown = offered(snap, "show", "")
    assert shown[:3] == ["values", "release/4.2", "pre-migration"]
    assert {"latest", newest["id"][:12]} <= set(shown)
    for words, expected in (
        (("co",), {"commit", "completion"}),
        (("tag", "--del"), {"--delete"}),
        (("tag", "-d", "pre"), {"pre-migration"}),
        (("diff", "latest~1", "release/"), {"release/4.2"}),
        (("restore", "bef"), {"before-restore/2026-01-09T000000Z"}),
        (("show", newest["id"][:5]), {newest["id"][:12]}),
        (("log", "--database", ""), {"shop"}),
        (("--database=s",), {"shop"}),
        (("restore", "latest", "--table", ""), {"public.orders", '"Shop"."Order: Items"'}),
        (("restore", "@2026-01-03", "--table", "public.d"), {"public.day"}),
        (("cat", "latest", "--section", "data pub"), {"data public.orders"}),
        (("push", ""), {"offsite"}),
        (("remote", ""), {"list", "add", "remove", "check"}),
        (("remote", "check", ""), {"offsite"}),
        (("restore", "latest", "--stop", ""), {"strapi", "db", "web"}),
        (("log", "--compose", ""), {"db", "web"}),
        (("diff", "offsite/pre"), {"offsite/pre-migration"}),
        (("pull", "offsite", "rel"), {"release/4.2"}),
        (("help", "exit"), {"exit-codes"}),
        (("schedule", "run", "comm"), {"commit"}),
        (("restore", "latest", "--from-server", ""), {"shop@unknown"}),
        (("nonsense", ""), set()),
        (("commit", "-m", ""), set()),
    ):
        kind, *shown = offered(snap, *words)
        assert (kind, set(shown)) == ("values", expected), words
    assert offered(snap, "commit", "--file", "x") == ["files"]
    assert offered(snap, "init", "") == ["folders"]


@pytest.mark.usefixtures("programs")
def test_nothing_is_asked_printed_or_waited_for(snap: CommandLine, database: Database) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    [option] = [one for one in command().params if "--dsn" in one.opts]
    ctx = click.Context(command(), obj=Invocation(Terminal.of_process()))
    waits: list[bool] = []
    found = [one.value for one in values.offered(option, ctx, "", lambda: waits.append(True))]
    assert f"dbname={database.name}" in found
    assert waits
    # Accepts connections, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        snap.setenv("DATABASE_URL", f"postgresql://127.0.0.1:{silent.getsockname()[1]}/shop")
        assert offered(snap, "log", "--dsn", "") == ["values"]
    snap.setenv("SNAP_REPO", str(snap.work / "secret"))
    snap.setenv("SNAP_PASSPHRASE_FILE", str(snap.work / "passphrase"))
    (snap.work / "passphrase").write_text("correct horse\n")
    (snap.work / "passphrase").chmod(0o600)
    snap.ok("init", "--encrypt")
    assert "latest" in offered(snap, "show", "")
    asked = snap.work / "asked"
    asks = f"touch {asked}; echo correct horse"
    os.environ.pop("SNAP_PASSPHRASE_FILE")
    assert offered(snap, "--passphrase-command", asks, "show", "") == ["values"]
    assert not asked.exists()
    with Typist(["snap", "--", "show", ""], {**os.environ, VARIABLE: "bash"}, snap.work) as run:
        run.read_until(r"values\r?\n")
        assert "assphrase" not in run.shown
    snap.setenv("SNAP_REPO", str(snap.work / "nothing"))
    assert offered(snap, "show", "") == ["values"]
    (snap.work / "snap.toml").write_text("broken")
    assert offered(snap, "show", "") == ["values"]


def bash(snap: CommandLine) -> Typist:
    snap.ok("completion", "bash", "--install")
    started = Typist(["bash", "-i"], dict(os.environ), snap.work)
    started.type('bind -x \'"\\C-t": printf "<%s>\\n" "$READLINE_LINE"\'; echo REA\'\'DY\n')
    started.read_until("READY")
    return started


def zsh(snap: CommandLine) -> Typist:
    needs_program("zsh")
    snap.ok("completion", "zsh", "--install")
    started = Typist(["zsh", "-i"], dict(os.environ), snap.work)
    show = "show() { print -r -- \"<$BUFFER>\" }; zle -N show; bindkey '^T' show"
    started.type(f"{show}; bindkey '^U' kill-whole-line; echo REA''DY\n")
    started.read_until("READY")
    return started


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("shell", [bash, zsh])
def test_bash_and_zsh_complete_both_names(
    snap: CommandLine, shell: Callable[[CommandLine], Typist]
) -> None:
    (snap.work / "my dump.sql").write_text("")
    table_shown = r"\"Shop\".\"Order:\ Items\""
    with shell(snap) as typist:
        for name in NAMES:
            for typed, line in (
                ("unforg", "unforget "),
                ("show pre-m", "show pre-migration "),
                ("show release/", "show release/4.2 "),
                ("--database=sh", "--database=shop "),
                ("commit --file my", r"commit --file my\ dump.sql "),
                ("restore latest --table public.o", "restore latest --table public.orders "),
                (
                    'restore latest --table \\"Sh',
                    r"restore latest --table \"Shop\".\"Order:\ Items\" ",
                ),
            ):
                typist.type(f"\x15{name} {typed}\t{_KEY}")
                shown = typist.read_until(rf"<({name} [^\r\n]*)>")[1]
                line = line.replace("@SERVER", "shop@unknown")
                assert shown == f"{name} {line.replace('@TABLE', table_shown)}", typed


@pytest.mark.usefixtures("programs")
def test_fish_completes_both_names_and_shows_what_they_are(snap: CommandLine) -> None:
    needs_program("fish")
    snap.ok("completion", "fish", "--install")

    def complete(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "-c", 'complete -C"$LINE"'],
            env={**os.environ, "LINE": line},
            cwd=snap.work,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    for name in NAMES:
        assert complete(f"{name} unforg") == [
            "unforget\tBring a forgotten snapshot back, as long..."
        ]
        assert complete(f"{name} show release/")[0].startswith("release/4.2\ttag of ")
        assert complete(f"{name} --database=sh") == ["--database=shop"]
        assert "./snap.toml" in complete(f"{name} commit --file ./sn")


def test_only_what_starts_this_program_is_completed(snap: CommandLine, programs: Path) -> None:
    (programs / "snap").write_bytes(b"\x7fELF of snapd")
    script = snap.ok("completion", "bash").out
    assert "complete -F _pgsnap_complete pgsnap\n" in script
    done = snap.ok("completion", "fish", "--install", "--json").json
    assert done["names"] == ["pgsnap"]
    assert [Path(path).name for path in done["files"]] == ["pgsnap.fish"]


def test_installing_twice_adds_one_line_and_a_wrong_shell_is_told(snap: CommandLine) -> None:
    home = snap.folder / "home"
    (home / ".bashrc").write_text("alias ll='ls -l'")
    first = snap.ok("completion", "bash", "--install", "--json").json
    assert first["changed"] == str(home / ".bashrc")
    assert snap.ok("completion", "bash", "--install", "--json").json["changed"] is None
    line = f". {first['files'][0]}\n"
    assert (home / ".bashrc").read_text() == f"alias ll='ls -l'\n{line}"
    snap.setenv("SHELL", "/usr/bin/zsh")
    assert snap.ok("--show-completion").out == snap.ok("completion").out
    assert "compdef" in snap.ok("completion").out
    error = snap("completion", "bsh", "--json").error
    assert (error["exit_code"], 'Did you mean "bash"?' in error["hint"]) == (2, True)
    snap.setenv("SHELL", "/bin/sh")
    assert snap("--install-completion").code == 2
