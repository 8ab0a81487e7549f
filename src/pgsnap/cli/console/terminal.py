"""The three standard streams: terminal or not, colours, closed pipes."""

from __future__ import annotations

import io
import os
import shutil
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

from pgsnap import interrupts
from pgsnap.errors import Declined, SnapError

# What a terminal takes as one line.
_LINE_BYTES_MAX = 4096


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
    def width(self) -> int:
        return shutil.get_terminal_size().columns

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
        """Ask a question, answered with yes or no, or by typing *word*. Raises Declined."""
        if not self.stdin_is_terminal:
            raise Declined(
                "nobody can be asked: standard input is not a terminal",
                hint=hint,
            )
        self.flush()
        self._stderr.write(f"{question} " if word is not None else f"{question} [y/N] ")
        self._stderr.flush()
        # A terminal delivers a whole line at once.
        interrupts.readable(self._stdin.fileno())
        answer = self._stdin.readline().strip()
        if answer != word if word is not None else answer.lower() not in ("y", "yes"):
            raise Declined("declined", detail="Nothing was changed.")

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
