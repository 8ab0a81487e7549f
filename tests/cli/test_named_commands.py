"""Every command of snap that its messages, hints and help name is one that its own parser takes."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from pgsnap.cli import commands
from pgsnap.cli.app import command
from support.documents.source import MODULES, PACKAGE, parsed

# Stands for a value that a message gets when it is made, and for one that the user is to give.
FILLED, VALUE = "0", "1"
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_.@:|]*…?")
_COMMAND = re.compile(r"(?:^|(?<=[\s`(\"']))(?:pg)?snap (?=[a-z-])")
# What ends a command in a sentence.
_END = re.compile(r"`|\n|\.\.\.|…|[;,.:)\]]+(?=\s|$)| \(| \|| \+ | and | or | > | && ")
# Words with which a sentence goes on behind a command.
_PROSE = re.compile(
    "after|again|as|at|before|brings|by|does|drops?|first|for|goes|hangs|has|if|in|into|is|it|look"
    "|makes|of|on|only|puts|reports|says|shows|stores|takes|that|then|there|to|until|when|where"
    "|while|with|without"
)
# Commands that are being made.
_COMING = frozenset({"clone", "key", "pull", "push", "remote"}).difference(commands.NAMES)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module with their lines; FILLED stands in f-strings."""
    inner = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Expr):
            # Docstrings, which are no messages; those of commands are their --help.
            inner.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
            parts = [p.value if isinstance(p, ast.Constant) else FILLED for p in node.values]
            yield node.lineno, "".join(map(str, parts))
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.lineno, node.value


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in *text*, as far as it goes."""
    for found in _COMMAND.finditer(text):
        rest, before = text[found.end() :], text[: found.start()]
        if before.endswith(("'", '"')):
            rest = rest.partition(before[-1])[0]
        end = _END.search(rest)
        named = rest[: end.start()] if end else rest
        try:
            words = shlex.split(named)
        except ValueError:
            words = named.split()
        is_code = before.endswith("`")
        if end and end[0] == "...":
            # The rest is left to the reader.
            words = [w for w in words if w in commands.NAMES][:1]
        if words and (words[0] in commands.NAMES or is_code) and words[0] not in _COMING:
            yield [VALUE if _PLACEHOLDER.fullmatch(word) else word for word in words]


def reason_against(words: list[str]) -> str:
    """Return why the parser refuses *words*, "" where it takes them, or what stands before prose. A
    command's name alone stands for the command."""
    if len(words) == 1 and words[0] in commands.NAMES:
        return ""
    for number, word in enumerate(words):
        is_value = not number or words[number - 1] == "-m"
        if not is_value and _PROSE.fullmatch(word):
            return reason_against(words[:number])
    reason, left = _reason(words), list(words)
    while reason and FILLED in left:
        # It may be filled with options, or with nothing.
        del left[len(left) - 1 - left[::-1].index(FILLED)]
        reason = _reason(left)
    return reason


def _reason(words: list[str]) -> str:
    group = command()
    try:
        with group.make_context("snap", list(words)) as ctx:
            # What make_context leaves over: the command and its words.
            if not (left := [*ctx._protected_args, *ctx.args]):
                return ""
            name, found, rest = group.resolve_command(ctx, left)
            assert found is not None
            found.make_context(name, rest, parent=ctx).close()
    except (click.exceptions.Exit, typer.Exit):
        return ""
    except click.ClickException as error:
        return error.format_message()
    return ""


def named() -> Iterator[tuple[str, list[str]]]:
    """Yield the commands in the messages of all modules, with where they stand."""
    for path in MODULES:
        for line, text in texts(path):
            for words in commands_in(text):
                yield f"{path.relative_to(PACKAGE)}:{line} snap {' '.join(words)}", words


# One test for all: finding them takes seconds, which every worker would spend on collecting.
def test_the_commands_that_messages_name_can_be_run() -> None:
    found = list(named())
    assert len(found) > 100
    reasons = ((where, reason_against(words)) for where, words in found)
    assert {where: reason for where, reason in reasons if reason} == {}


def test_commands_in_messages_are_found_and_wrong_ones_are_refused() -> None:
    (words,) = commands_in("Mend it: snap repair --from PATH. Where there is none, give up.")
    assert words == ["repair", "--from", VALUE]
    assert reason_against(words) == ""
    for wrong in (
        "`snap repare`",
        "`snap restore --yes`",
        "`snap gc --bogus it`",
        "`snap tag a b c`",
    ):
        (words,) = commands_in(wrong)
        assert reason_against(words) != "", wrong
