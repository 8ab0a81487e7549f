"""docs/cli.md and the program say the same, in both directions."""

from __future__ import annotations

import re

import click
import pytest

from pgsnap.cli.app import GLOBAL_PANEL, command
from pgsnap.cli.config.file import KEYS, LATER_TABLES
from pgsnap.errors import EXIT_CODES
from pgsnap.workflows.drill.runbook import commands_in
from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

COMMANDS = command().commands


def option_names(found: click.Command, *, of_all: bool) -> set[str]:
    """Return the options of a command, or those that every command has."""
    return {
        name
        for param in found.params
        if isinstance(param, click.Option)
        and (getattr(param, "rich_help_panel", None) == GLOBAL_PANEL) is of_all
        for name in param.opts
    }


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    text = documentation.section("Commands")
    assert re.findall(r"^### snap (.+)$", text, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_options_of_a_command_are_those_documented(name: str) -> None:
    written = documentation.options(documentation.section(f"snap {name}"))
    assert written == option_names(COMMANDS[name], of_all=False)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_synopsis_of_a_command_names_its_options(name: str) -> None:
    synopsis = documentation.section(f"snap {name}").split("\n\n")[0]
    found = option_names(COMMANDS[name], of_all=False)
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", synopsis))
    # Of an option with two names, either will do.
    assert named <= found
    for param in COMMANDS[name].params:
        if isinstance(param, click.Option) and found.intersection(param.opts):
            assert named.intersection(param.opts)
    arguments = [p.name for p in COMMANDS[name].params if isinstance(p, click.Argument)]
    assert ("REV" in synopsis) == ("revision" in arguments)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_examples_of_a_command_are_understood(name: str) -> None:
    epilog = COMMANDS[name].epilog
    assert epilog is not None
    lines = "".join(f"    {line}\n" for line in epilog.split("\n"))
    found = [words for _, words in commands_in(lines)]
    assert name in {words[0] for words in found}
    for words in found:
        # Raises where an option or an argument is not one of the command's.
        COMMANDS[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_global_options_are_those_documented(name: str | None) -> None:
    written = documentation.options(documentation.section("Global options"))
    found = command() if name is None else COMMANDS[name]
    assert option_names(found, of_all=True) == written


def test_exit_codes_are_those_documented() -> None:
    [rows] = documentation.tables(documentation.section("Exit codes"), "code")
    assert [(int(code), meaning) for code, meaning in rows] == list(EXIT_CODES)


def test_keys_of_snap_toml_are_those_documented() -> None:
    text = documentation.section("Where settings come from")
    [rows] = documentation.tables(text, "setting")
    assert {row[3] for row in rows} == set(KEYS)
    assert all(f"`{table}`" in text for table in LATER_TABLES)


def documented(name: str) -> list[set[str]]:
    return documentation.fields(documentation.section(name))


def test_json_fields_of_init_errors_and_exit_codes_are_those_documented(snap: CommandLine) -> None:
    assert [documentation.field_names(snap.ok("init", "--json").json)] == documented("snap init")
    codes = snap.ok("help", "exit-codes", "--json").json
    shown = [snap.ok("help", *topic, "--json").json for topic in ((), ("commit",))]
    assert [value["command"] for value in shown] == [None, "commit"]
    assert all("--lock-timeout" in value["help"] for value in shown)
    fields = [documentation.field_names(value) for value in (codes, shown[1])]
    assert fields == documented("snap help")
    error = {"error": snap("show", "nothing", "--json").error}
    assert [documentation.field_names(error)] == documented("Errors")


def test_json_fields_of_the_main_commands_are_those_documented(
    snap: CommandLine, sample_database: Database
) -> None:
    snap.setenv("DATABASE_URL", sample_database.dsn)
    sample_database.psql(f"ALTER DATABASE \"{sample_database.name}\" SET work_mem = '8MB'")
    snap.ok("init")
    done = snap.ok("commit", "-m", "first", "--json").json
    assert [documentation.field_names(done)] == documented("snap commit")
    shown = snap.ok("show", "latest", "--json").json
    assert [documentation.field_names(shown)] == documented("snap show")
    made = documentation.field_names(snap.ok("tag", "one", "--json").json)
    assert [made] == documented("snap tag")
    listed = documentation.field_names(snap.ok("tag", "--json").json)
    assert listed == made - {"previous", "notices"}
    assert documentation.field_names(snap.ok("tag", "--delete", "one", "--json").json) == made
    restored = snap.ok("restore", done["id"], "--yes", "--json").json
    assert [documentation.field_names(restored)] == documented("snap restore")[:1]
    # With a kept database to tell of.
    logged = documentation.field_names(snap.ok("log", "--limit", "1", "--json").json)
    assert [logged] == documented("snap log")[:1]
    undone = documentation.field_names(snap.ok("undo", "--yes", "--json").json)
    dropped = documentation.field_names(snap.ok("undo", "--discard", "--yes", "--json").json)
    assert [undone, dropped] == documented("snap undo")
