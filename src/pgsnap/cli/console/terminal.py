"""The three standard streams: terminal or not, colours, closed pipes."""

from __future__ import annotations

import io
import os
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from pgsnap import interrupts
from pgsnap.errors import Declined, SnapError

# What a terminal takes as one line.
_LINE_BYTES_MAX = 4096
_YES = ("y", "yes")
# Of a terminal that does not say how wide it is.
_COLUMNS = 80


class OutputClosed(Exception):
    """The reader of standard output is gone (`snap log | head`): nobody to report to."""


class OutputFailed(SnapError):
    """Writing to standard output failed (a full disk, say)."""

    kind = "output"


class Terminal:
    """Results go to standard output, everything else to standard error; answers come from
    standard input, and only when it is a terminal."""

    def __init__(
        self, stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]
    ) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._environ = environ
        colourful = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self.stdin_is_terminal = _is_terminal(stdin)
        self.stdout_is_terminal = _is_terminal(stdout)
        self.stderr_is_terminal = _is_terminal(stderr)
        self.colour = colourful and self.stdout_is_terminal
        self.stderr_colour = colourful and self.stderr_is_terminal
        for stream in (stdout, stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A name that the locale cannot encode must not end the program.
                stream.reconfigure(errors="backslashreplace")

    @classmethod
    def of_process(cls) -> Terminal:
        """Return the terminal of this process, with closed streams opened on /dev/null: otherwise
        the next opened file would get the descriptor of a standard stream."""
        for descriptor in range(3):
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)
        nowhere = Path(os.devnull)
        return cls(
            sys.stdin or nowhere.open(encoding="utf-8"),
            sys.stdout or nowhere.open("w", encoding="utf-8"),
            sys.stderr or nowhere.open("w", encoding="utf-8"),
            os.environ,
        )

    @property
    def stderr(self) -> TextIO:
        return self._stderr

    @property
    def stdin_bytes(self) -> BinaryIO:
        return self._stdin.buffer

    def can_show(self, text: str) -> bool:
        """Return whether standard output's encoding has all characters of *text*."""
        try:
            text.encode(self._stdout.encoding or "ascii")
        except (LookupError, UnicodeEncodeError):
            return False
        return True

    @property
    def columns(self) -> int | None:
        """How many columns a line of a result has; None where it may have any length."""
        return self._columns(self._stdout) if self.stdout_is_terminal else None

    @property
    def stderr_columns(self) -> int | None:
        return self._columns(self._stderr) if self.stderr_is_terminal else None

    def _columns(self, stream: TextIO) -> int:
        named = self._environ.get("COLUMNS", "")
        if named.isascii() and named.isdecimal() and int(named):
            return int(named)
        try:
            return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
        except OSError:
            return _COLUMNS

    @contextmanager
    def paged(self) -> Iterator[None]:
        """Let the results of the block go through a pager, if standard output is a terminal and
        there is one. The user may end it before the block does: that is no error."""
        if not self.stdout_is_terminal:
            yield
            return
        from pgsnap.cli.console.pager import find_pager, through_pager

        command = find_pager(self._environ)
        if command is None:
            yield
            return
        self.flush()
        stdout = self._stdout
        try:
            with through_pager(command) as self._stdout:
                try:
                    yield
                except OutputClosed as closed:
                    raise BrokenPipeError from closed
        finally:
            self._stdout = stdout

    def write(self, text: str) -> None:
        """Write a result. Raises OutputClosed, OutputFailed."""
        try:
            with interrupts.raised_at_once():
                self._stdout.write(text)
        except OSError as error:
            raise _translated(error) from error

    def write_bytes(self, data: bytes | memoryview) -> None:
        """Write a result as raw bytes, after anything passed to `write`."""
        interrupts.check()
        try:
            with interrupts.raised_at_once():
                self._stdout.flush()
                self._stdout.buffer.write(data)
        except OSError as error:
            raise _translated(error) from error

    def flush(self) -> None:
        """Pass everything written so far to the operating system. Raises as `write`."""
        try:
            with interrupts.raised_at_once():
                self._stdout.flush()
        except OSError as error:
            raise _translated(error) from error

    def abandon_output(self) -> None:
        """Discard what standard output still buffers, so that the interpreter's own flush at exit
        does not complain."""
        try:
            descriptor = self._stdout.fileno()
        except (OSError, ValueError):
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def note(self, line: str) -> None:
        """Write a line for the user that is not part of the result."""
        try:
            self._stderr.write(line + "\n")
            self._stderr.flush()
        except OSError:
            # There is no third stream to report it on.
            return

    def confirm(self, question: str, *, hint: str, word: str | None = None) -> None:
        """Ask a question, answered with yes or no, or by typing *word*, for which a yes is not
        enough. Raises Declined."""
        if not self.stdin_is_terminal:
            raise Declined(
                "nobody can be asked: standard input is not a terminal",
                hint=hint,
            )
        self.flush()
        answer = self._answer(f"{question} " if word is not None else f"{question} [y/N] ")
        while word is not None and answer != word and answer.lower() in _YES:
            answer = self._answer(f"Not {answer}, its name, {word}: ")
        if answer != word if word is not None else answer.lower() not in _YES:
            raise Declined("declined", detail="Nothing was changed.")

    def _answer(self, question: str) -> str:
        self._stderr.write(question)
        self._stderr.flush()
        # A terminal delivers a whole line at once.
        interrupts.readable(self._stdin.fileno())
        return self._stdin.readline().strip()

    def ask_secret(self, question: str) -> bytes | None:
        """Return a line that is typed on the terminal of this process, whatever its standard
        streams are; it is not shown. None if there is no terminal."""
        try:
            tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        except OSError:
            return None
        try:
            before = termios.tcgetattr(tty)
            hidden = before[:]
            hidden[3] &= ~termios.ECHO
            termios.tcsetattr(tty, termios.TCSAFLUSH, hidden)
            try:
                os.write(tty, question.encode())
                interrupts.readable(tty)
                # A terminal delivers a whole line at once.
                line = os.read(tty, _LINE_BYTES_MAX)
            finally:
                termios.tcsetattr(tty, termios.TCSAFLUSH, before)
                os.write(tty, b"\n")
        except (OSError, termios.error):
            return None
        finally:
            os.close(tty)
        return line.removesuffix(b"\n")


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _translated(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return OutputClosed()
    return OutputFailed("cannot write to standard output", detail=f"{error.strerror or error}.")
