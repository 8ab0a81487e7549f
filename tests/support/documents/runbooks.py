"""Reads the commands of a Markdown page, and runs them in the order in which they stand there.

A command stands in a block ```console behind "$ "; lines behind "> " go on with it. What else
stands in the block must come out of it, line by line and in this order; "…" is anything. HTML
comments before a block say what a reader need not see:

    <!-- exit 40 -->            its last command ends so; the others, and those without this, with 0
    <!-- answer shop -->        its last command runs on a terminal, where this is typed
    <!-- first: ./migrate -->   run this before the block
    <!-- file: snap.toml -->    no commands: write the block to this file ("file+:" appends)
    <!-- needs rsync: cp … -->  where there is no rsync, run the other command instead
    <!-- not run: why -->       cannot be run by a test
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from support.running.commandline import CommandLine
from support.running.terminals import answered

_BLOCK = re.compile(
    r"((?:^ *<!-- [^\n]* -->\n)*)^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!-- (exit|answer|first:|file:|file\+:|needs|not run:) ?(.*?) -->")
# Nothing for a shell to do but to split words.
_PLAIN_SNAP = re.compile(r"(?:pg)?snap [^|&;<>$`~*?\\{}()\n]*")
_SECONDS_MAX = 60
# Places of the examples; the test has its own below a folder of its own.
_PLACES = re.compile(r"/(?:srv/shop|mnt/\w+|var/backups)\b")


@dataclass(frozen=True)
class Command:
    """A command of a page, and what it shows there."""

    line: int
    text: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block with what the comments before it say."""

    line: int
    language: str
    text: str
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def commands(self) -> list[Command]:
        found: list[tuple[int, list[str], list[str]]] = []
        for number, line in enumerate(self.text.splitlines(), self.line):
            if line.startswith("$ "):
                found.append((number, [line[2:]], []))
            elif line.startswith("> ") and found and not found[-1][2]:
                found[-1][1].append(line[2:])
            elif line.strip():
                assert found, f"line {number}: no command shows {line!r}"
                found[-1][2].append(line)
        return [Command(number, "\n".join(text), tuple(shown)) for number, text, shown in found]

    def note(self, name: str) -> str | None:
        return self.notes.get(name, [None])[0]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page that hold commands or a file."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        notes: dict[str, list[str]] = {}
        for name, value in _COMMENT.findall(match[1]):
            notes.setdefault(name, []).append(value)
        line = text.count("\n", 0, match.start(3)) + 1
        block = Block(line, match[2], textwrap.dedent(match[3]), notes)
        if block.language == "console" or "file:" in notes or "file+:" in notes:
            found.append(block)
    # None is overlooked: what this cannot read would otherwise be a page that nobody runs.
    assert sum(b.language == "console" for b in found) == len(re.findall(r"``` *console", text))
    return found


class Reader:
    """Somebody who follows a page word by word, in folders below that of *snap*.

    Commands of snap alone run in this process, which is faster; all others in bash.
    """

    def __init__(self, snap: CommandLine) -> None:
        self.root = snap.folder
        self.folder = snap.folder
        self.left_out: list[str] = []
        self._snap = snap

    def follow(self, page: Path, first: str = "", last: str = "") -> None:
        """Do all that a page says, or what it says from the line that begins with *first* on, up
        to the one that begins with *last*. Raises AssertionError that names page, line and
        command."""
        lines = page.read_text(encoding="utf-8").splitlines()
        begin = next(n for n, line in enumerate(lines) if line.startswith(first))
        found = (n for n, line in enumerate(lines) if last and n > begin and line.startswith(last))
        end = next(found, len(lines))
        for block in blocks(page):
            if not begin < block.line <= end:
                continue
            for name, mode in (("file:", "w"), ("file+:", "a")):
                file = block.note(name)
                if file is not None:
                    with (self.folder / self.here(file)).open(mode) as out:
                        out.write(self.here(block.text))
            if block.language != "console":
                continue
            if "not run:" in block.notes:
                self.left_out += [command.text for command in block.commands]
                continue
            for hidden in block.notes.get("first:", []):
                self._run(page, Command(block.line, hidden, ()))
            self._run_all(page, block)

    def do(self, *commands: str) -> None:
        """Run commands that stand on no page, and must succeed."""
        for text in commands:
            self._run(Path("before"), Command(0, text, ()))

    def _run_all(self, page: Path, block: Block) -> None:
        commands = block.commands
        assert commands, f"{page.name}:{block.line}: no command"
        needs = block.note("needs")
        if needs is not None:
            program, _, instead = needs.partition(": ")
            if shutil.which(program, path=os.environ["PATH"]) is None:
                commands = [Command(block.line, instead, ())]
        for command in commands[:-1]:
            self._run(page, command)
        code = int(block.note("exit") or 0)
        self._run(page, commands[-1], code, block.note("answer"))

    def here(self, text: str) -> str:
        """Return *text* with the places of the examples below our own folder, the bucket too."""
        text = text.replace("s3://bucket/", "file:///mnt/bucket/")
        return _PLACES.sub(lambda found: f"{self.root}{found[0]}", text)

    def _run(self, page: Path, command: Command, code: int = 0, answer: str | None = None) -> None:
        if answer is None and _PLAIN_SNAP.fullmatch(command.text):
            result = self._snap.at(self.folder, *shlex.split(self.here(command.text))[1:])
            found, output = result.code, result.err + result.out
        else:
            found, output = self._in_bash(command.text, answer)
        told = f"{page.name}:{command.line}: $ {command.text}\n{output}"
        assert found == code, f"exit code {found}, not {code}\n{told}"
        _check_shown(command.shown, output.replace(str(self.root), ""), told)

    def _in_bash(self, text: str, answer: str | None) -> tuple[int, str]:
        where = self.root / ".where"
        script = (
            f'cd "{self.folder}"; set -o pipefail\n{self.here(text)}\n'
            f'code=$?; pwd > "{where}"; exit $code'
        )
        if answer is not None:
            found, output = answered(["bash", "-c", script], answer, seconds_max=_SECONDS_MAX)
        else:
            done = subprocess.run(
                ["bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_SECONDS_MAX,
                check=False,
            )
            found, output = done.returncode, done.stdout.decode()
        self.folder = Path(where.read_text().strip())
        return found, output


def _check_shown(shown: tuple[str, ...], output: str, told: str) -> None:
    """Hold that every line of *shown* is one of *output*, in this order."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for wanted in shown:
        words = " ".join(wanted.split())
        pattern = re.compile(".*".join(re.escape(part) for part in words.split("…")))
        assert any(pattern.fullmatch(line) for line in lines), f"not shown: {wanted}\n{told}"


_ZSTD = """#!{python}
import sys, zstandard
base = open(sys.argv[sys.argv.index("-D") + 1], "rb").read() if "-D" in sys.argv else None
prefix = zstandard.ZstdCompressionDict(base, zstandard.DICT_TYPE_RAWCONTENT) if base else None
data = zstandard.ZstdDecompressor(dict_data=prefix).decompress(sys.stdin.buffer.read())
sys.stdout.buffer.write(data)
"""


def provide_zstd(folder: Path) -> None:
    """Put a `zstd` that can decompress into *folder*, where the machine has none."""
    if shutil.which("zstd") is None:
        program = folder / "zstd"
        program.write_text(_ZSTD.format(python=sys.executable))
        program.chmod(0o755)
