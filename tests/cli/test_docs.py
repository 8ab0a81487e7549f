"""docs/cli.md and the program say the same, in both directions."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Mapping

import click
import pytest

from pgsnap.cli.app import CONTEXT_SETTINGS, command
from pgsnap.cli.config.keys import Key
from pgsnap.cli.config.services import HOOK_KEYS, SERVICE_KEYS
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.help_text import GLOBAL_PANEL
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
    # With the settings of the whole, `-h` among them, which click keeps in each command.
    parent = click.Context(command(), info_name="snap", **CONTEXT_SETTINGS)
    for words in found:
        # Raises where an option or an argument is not one of the command's.
        COMMANDS[words[0]].make_context(words[0], words[1:], parent=parent)


def test_the_commands_of_the_recorded_session_are_understood() -> None:
    picture = html.unescape((documentation.PAGE.parent / "terminal.svg").read_text("utf-8"))
    lines = re.findall(r">\$ (snap .*?)</text>", picture.replace("\xa0", " "))
    assert len(lines) > 3
    parent = click.Context(command(), info_name="snap", **CONTEXT_SETTINGS)
    for _, name, *words in map(shlex.split, lines):
        COMMANDS[name].make_context(name, words, parent=parent)
    for name in ("http://", "https://"):
        assert name not in picture.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_global_options_are_those_documented(name: str | None) -> None:
    written = documentation.options(documentation.section("Global options"))
    found = command() if name is None else COMMANDS[name]
    assert option_names(found, of_all=True) == written


def test_exit_codes_are_those_documented() -> None:
    [rows] = documentation.tables(documentation.section("Exit codes"), "code")
    assert [(int(code), meaning) for code, meaning in rows] == list(EXIT_CODES)


def line_of(name: str, key: Key) -> str:
    """Return the line of docs/cli.md about a key of snap.toml, as its declaration says it."""
    flags = key.flags or (f"`{key.option.name}`" if key.option is not None else "")
    variables = key.variables or (f"`{key.variable}`" if key.variable else "")
    default = key.default or key.shown.strip('"')
    cells = [key.meaning, flags, variables, f"`{name}`", default]
    return re.sub(" +", " ", "| " + " | ".join(cells) + " |")


def lines_of(keys: Mapping[str, Key]) -> list[str]:
    """Return the lines about the keys of a table; those of one meaning share one."""
    shared: dict[str, list[str]] = {}
    for name, key in keys.items():
        shared.setdefault(key.meaning, []).append(f"`{name}`")
    return [f"| {', '.join(names)} | {meaning} |" for meaning, names in shared.items()]


def test_the_table_of_keys_is_that_of_the_declarations() -> None:
    text = documentation.section("Where settings come from")
    written = documentation.lines(text, "setting")
    # In another order: the page begins with what is asked most.
    assert sorted(written) == sorted(line_of(name, key) for name, key in KEYS.items())


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("retention", "Retention"),
        ("schedule", "Schedule and alerts"),
        ("alerts", "Schedule and alerts"),
        ("remotes", "Remotes"),
    ],
)
def test_the_keys_of_a_table_are_those_of_the_declarations(name: str, title: str) -> None:
    keys = KEYS[name].keys
    assert keys is not None
    written = documentation.lines(documentation.section(title), f"key of `[{name}]`")
    assert sorted(written) == sorted(lines_of(keys))


def test_hooks_and_keys_of_services_are_documented() -> None:
    hooks = documentation.section("Hooks")
    assert set(re.findall(r"`((?:before|after)_[a-z]+)`", hooks)) == set(HOOK_KEYS)
    words = re.findall(r"[a-z]+", documentation.section("snap restore"))
    assert set(SERVICE_KEYS) <= set(words)


def test_an_option_of_a_key_belongs_to_the_commands_that_its_line_names() -> None:
    for key in KEYS.values():
        for option, words in re.findall(r"`(--[a-z-]+)`[^(]*\(([a-z, ]+)\)", key.flags):
            assert key.option is None or key.option.name == option
            for name in words.split(", "):
                assert option in option_names(COMMANDS[name], of_all=False)


def documented(name: str) -> list[set[str]]:
    return documentation.fields(documentation.section(name))


def test_json_fields_of_init_errors_and_exit_codes_are_those_documented(snap: CommandLine) -> None:
    assert [documentation.field_names(snap.ok("init", "--json").json)] == documented("snap init")
    codes = snap.ok("help", "exit-codes", "--json").json
    shown = [snap.ok("help", *topic, "--json").json for topic in ((), ("commit",))]
    assert [value["command"] for value in shown] == [None, "commit"]
    assert all("snap help options" in value["help"] for value in shown)
    assert "--lock-timeout" in snap.ok("help", "options").out
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
