"""Man pages, made from what `--help` and the template of snap.toml are made from: `make man` runs
`python -m pgsnap.cli.manual FOLDER`. A page is a value here; only `main` writes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from pgsnap import __version__
from pgsnap.cli.app import CONTEXT_SETTINGS, command
from pgsnap.cli.config.keys import Key
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.help_text import GLOBAL_PANEL
from pgsnap.errors import EXIT_CODES
from pgsnap.patterns import regex

# The second is the name of the same program where `snap` is Ubuntu's package manager.
NAMES = ("snap", "pgsnap")
CHARACTERS = {"\\": "\\e", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha", "-": "\\-"}
_OPTION = regex(r"--?[a-z][a-z-]*")
_CODE = regex(r"`([^`]+)`")


def pages(day: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each page, in man(7); *day*, such as 2026-01-31, is printed below.

    The pages of the second name refer to those of the first.
    """
    main, second = NAMES
    group = command()
    top = click.Context(group, info_name=main, **CONTEXT_SETTINGS)
    made = {main: _program_page(group, top)}
    for name, found in _commands(group, top).items():
        made[f"{main}-{name}"] = _command_page(found, click.Context(found, top, name))
    for name, body in made.items():
        yield f"{name}.1", _head(name, 1, day) + body
        yield f"{second}{name.removeprefix(main)}.1", f".so man1/{name}.1\n"
    yield "snap.toml.5", _head("snap.toml", 5, day) + _keys_page()


def _head(name: str, number: int, day: str) -> str:
    return f'.TH {_code(name.upper())} {number} {day} "snap {__version__}" "snap"\n'


def _program_page(group: click.Group, ctx: click.Context) -> str:
    commands = [
        (_bold(f"snap-{name}") + "(1)", _text(_first_sentence(found)))
        for name, found in _commands(group, ctx).items()
    ]
    options = _records(group, ctx)
    return "".join(
        [
            _section("NAME", f"snap, pgsnap \\- {_summary(group)}\n"),
            _section("SYNOPSIS", _synopsis("snap", group.collect_usage_pieces(ctx))),
            _section("COMMANDS", _list(commands)),
            _section("OPTIONS", _list(options[""])),
            _section(
                "GLOBAL OPTIONS", "Every command takes them.\n" + _list(options[GLOBAL_PANEL])
            ),
            _section("EXAMPLES", _examples(group.epilog)),
            _section("ENVIRONMENT", _list(_variables())),
            _section("FILES", _list([(_italic("snap.toml"), "The settings: snap.toml(5).")])),
            _section(
                "EXIT STATUS", _list((_bold(str(code)), _text(text)) for code, text in EXIT_CODES)
            ),
            _section("SEE ALSO", "snap.toml(5), pg_dump(1), psql(1)\n"),
        ]
    )


def _commands(group: click.Group, ctx: click.Context) -> dict[str, click.Command]:
    found = {name: group.get_command(ctx, name) for name in group.list_commands(ctx)}
    return {name: one for name, one in found.items() if one is not None and not one.hidden}


def _command_page(found: click.Command, ctx: click.Context) -> str:
    options = _records(found, ctx)
    name = str(ctx.info_name)
    return "".join(
        [
            _section("NAME", f"{_code(f'snap-{name}')} \\- {_summary(found)}\n"),
            _section("SYNOPSIS", _synopsis(f"snap {name}", found.collect_usage_pieces(ctx))),
            _section("DESCRIPTION", _paragraphs(found.help or "")),
            _section("ARGUMENTS", _list(options["argument"])),
            _section("OPTIONS", _list(options[""])),
            _section("EXAMPLES", _examples(found.epilog)),
            _section("SEE ALSO", "snap(1) for the options of every command, snap.toml(5)\n"),
        ]
    )


def _keys_page() -> str:
    tables = {name: key for name, key in KEYS.items() if key.keys is not None}
    single = {name: key for name, key in KEYS.items() if key.keys is None}
    return "".join(
        [
            _section("NAME", "snap.toml \\- settings of snap\n"),
            _section("DESCRIPTION", _paragraphs(_ABOUT_KEYS)),
            _section("KEYS", _list(_keys(single))),
            *(
                _section(
                    f"[{name}]",
                    _text(_sentence(key.meaning)) + "\n" + _list(_keys(key.keys or {})),
                )
                for name, key in tables.items()
            ),
            _section("SEE ALSO", "snap(1)\n"),
        ]
    )


_ABOUT_KEYS = """
The file is found from the working folder upwards, or named with `--config`. `snap init` writes one
in which every key stands as a comment. Options on the command line and variables of the environment
go before it.
"""


def _keys(keys: Mapping[str, Key]) -> Iterator[tuple[str, str]]:
    for name, key in keys.items():
        value = f" = {key.shown}" if key.shown else ""
        lines = [_text(_sentence(key.comment or key.meaning or "A command for the shell"))]
        option = key.option.name if key.option is not None else ""
        ways = " and ".join(f"`{way}`" for way in (option, key.variable) if way)
        if ways:
            lines.append(_text(f"Also: {ways}."))
        yield _bold(name) + _code(value), "\n".join(lines)


def _variables() -> Iterator[tuple[str, str]]:
    for key in KEYS.values():
        if key.variable:
            yield _bold(key.variable), _text(_sentence(key.meaning))
    yield _bold("PG*"), "What libpq reads: PGHOST, PGUSER, PGPASSFILE and the like."


def _records(found: click.Command, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Return names and texts of the parameters by their panel: "argument", "" for a command's own
    options, or that of the global options."""
    panels: dict[str, list[tuple[str, str]]] = {"argument": [], "": [], GLOBAL_PANEL: []}
    for param in found.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            panel = getattr(param, "rich_help_panel", None) or ""
            if param.param_type_name == "argument":
                panel = "argument"
            panels[panel].append((_names(record[0]), _text(record[1])))
    return panels


def _names(text: str) -> str:
    """Set the names of an option bold, and what it takes in italics."""
    parts = re.split(rf"({_OPTION.pattern}|, )", text)
    return "".join(
        _bold(part) if _OPTION.fullmatch(part) else part if part == ", " else _italic(part)
        for part in parts
    )


def _synopsis(name: str, pieces: Iterable[str]) -> str:
    return " ".join([_bold(name), *map(_italic, pieces)]) + "\n"


def _section(title: str, body: str) -> str:
    return f'.SH "{_code(title)}"\n{body}' if body else ""


def _list(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(f".TP\n{name}\n{text}\n" for name, text in entries)


def _examples(epilog: str | None) -> str:
    lines = [line.strip() for line in (epilog or "").strip().splitlines()]
    body = "".join(f"{_line(_code(line))}\n" for line in lines)
    return f".EX\n{body}.EE\n" if body else ""


def _paragraphs(text: str) -> str:
    found = (" ".join(part.split()) for part in text.strip().split("\n\n"))
    return ".PP\n".join(f"{_text(part)}\n" for part in found)


def _summary(found: click.Command) -> str:
    return _text(_first_sentence(found).removesuffix("."))


def _first_sentence(found: click.Command) -> str:
    return " ".join((found.help or "").strip().split("\n\n")[0].split())


def _sentence(text: str) -> str:
    """Return what a key means as a sentence; of a link only its words."""
    text = re.sub(r"\[([^]]+)\]\(http[^)]*\)", r"\1", text)
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _text(text: str) -> str:
    """Return running text; what stands in backquotes is set bold."""
    parts = _CODE.split(" ".join(text.split()))
    words = (
        _bold(part) if at % 2 else _OPTION.sub(lambda m: _code(m[0]), _plain(part))
        for at, part in enumerate(parts)
    )
    return _line("".join(words))


def _bold(text: str) -> str:
    return f"\\fB{_code(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_code(text)}\\fR" if text else ""


def _code(text: str) -> str:
    """Return text to be copied: every character is printed as itself."""
    return "".join(CHARACTERS.get(one, one) for one in text)


def _plain(text: str) -> str:
    return text.replace("\\", "\\e")


def _line(text: str) -> str:
    """A line that begins with a dot or an apostrophe would be a request."""
    return f"\\&{text}" if text.startswith((".", "'")) else text


def main(folder: Path) -> None:
    """Write the pages to `man1` and `man5` below *folder*. Their date is that of the release,
    SOURCE_DATE_EPOCH, or today."""
    import os

    now = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    for name, text in pages(time.strftime("%Y-%m-%d", time.gmtime(now))):
        path = folder / f"man{name[-1]}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
