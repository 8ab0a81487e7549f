"""Checks the runbook: does it exist, and does this version of snap have the commands in it?"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from pgsnap.model import Finding
from pgsnap.patterns import regex
from pgsnap.values import dataclass
from pgsnap.words import plural
from pgsnap.workflows.drill.report import failed, passed, skipped

_TOLD_MAX = 10
_FENCE = regex(r"\s*(```|~~~)")
_SPAN = regex(r"`([^`]+)`")
# At the start of a command: after a prompt, sudo, a variable assignment, or another command.
_SNAP = regex(
    r"(?:^\s*(?:[$#>] )?|[|;&(]\s*)(?:sudo (?:-\w+ \w+ )*)?(?:\w+=\S+ )*"
    r"(?:[\w./~-]*/)?(?:pg)?snap(?= |$)"
)
_COMMAND_END = regex(r"[|;&)<>]")


@dataclass(frozen=True, slots=True)
class Grammar:
    """What this version of snap accepts: each command's options, the global ones, and which of
    these take a value."""

    commands: Mapping[str, frozenset[str]]
    global_options: frozenset[str] = frozenset()
    with_value: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Runbook:
    """The location of the runbook. One that is named in snap.toml *is_required*."""

    path: Path
    is_required: bool = False
    grammar: Grammar = field(default_factory=lambda: Grammar({}))


def check_runbook(runbook: Runbook) -> Finding:
    """Check that the runbook exists and that this version understands its commands."""
    name = runbook.path.name
    try:
        text = runbook.path.read_text("utf-8", "replace")
    except FileNotFoundError:
        if runbook.is_required:
            return failed(
                f'there is no "{runbook.path}"',
                hint='Write it, or correct runbook = "..." in snap.toml.',
            )
        return skipped(
            f'no runbook is named: write "{runbook.path}", or name another one in snap.toml'
            ' (runbook = "...")'
        )
    except OSError as error:
        return failed(f'"{runbook.path}" cannot be read: {error.strerror}')
    found = list(commands_in(text))
    wrong = [
        f"line {line}: {problem}"
        for line, words in found
        if (problem := problem_of(words, runbook.grammar))
    ]
    if wrong:
        first = wrong[0].partition(": ")[2]
        return failed(
            f"{name} has {plural(len(wrong), 'command')} that this version has not: {first}",
            *wrong[:_TOLD_MAX],
            hint="Correct them; what there is: snap --help",
        )
    if not any(words[:1] == ["restore"] for _, words in found):
        return failed(
            f"{name} does not say how to restore",
            hint="Write down the whole command: snap restore ...",
        )
    return passed(f"{plural(len(found), 'command')} in {name}, all of this version")


def commands_in(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each snap command in the code of a Markdown text: its line number, and its words after
    ``snap``. Code is fenced, indented by four spaces, or in backquotes."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        is_code = fenced or line.startswith(("    ", "\t"))
        for code in [line] if is_code else _SPAN.findall(line):
            for found in _SNAP.finditer(code):
                words = _words(code[found.end() :])
                # The bare program name occurs in many sentences.
                if words:
                    yield number, words


def _words(rest: str) -> list[str]:
    """Return the words of a command, up to its end or a comment."""
    lexer = shlex.shlex(rest, posix=True, punctuation_chars="|;&)<>")
    lexer.whitespace_split = True
    words = []
    try:
        for word in lexer:
            if _COMMAND_END.match(word):
                break
            words.append(word)
    except ValueError:
        # A quote that is closed on another line.
        return words
    return words


def problem_of(words: list[str], grammar: Grammar) -> str:
    """Return what is wrong with a command's *words*, "" if this version accepts it."""
    waiting = list(words)
    command = ""
    while waiting and not command:
        word = waiting.pop(0)
        if not word.startswith("-"):
            command = word
        elif word in grammar.with_value and waiting:
            waiting.pop(0)
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    if "--" in words:
        options = [w for w in options if w in words[: words.index("--")]]
    if command and command not in grammar.commands:
        return f"there is no command snap {command}"
    known = grammar.global_options | grammar.commands.get(command, frozenset())
    unknown = [option for option in options if option not in known]
    if unknown:
        return f"snap {command} has no option {unknown[0]}"
    return ""
