"""A program of the user's, run as a shell runs it: it has our standard streams and our place on the
terminal, and the signals are its own; we wait until it ends, whatever they are."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from types import FrameType
from typing import ClassVar

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.values import dataclass

# A terminal sends these to all processes in the foreground, and so to the program too.
_OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)
_SIGNALS = (*interrupts.SIGNALS, signal.SIGQUIT)


class CannotExecute(SnapError):
    """The program is there, but the system does not run it."""

    exit_code: ClassVar[int] = 126
    kind = "command-not-executable"


class CommandNotFound(SnapError):
    """There is no such program."""

    exit_code: ClassVar[int] = 127
    kind = "command-not-found"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. *signal* is the name of the one that killed it, else "". *asked_to_end*:
    this process received a SIGTERM or SIGHUP meanwhile; *interrupted*: a SIGINT, which the program
    may have answered with any exit code."""

    exit_code: int
    signal: str
    seconds: float
    asked_to_end: bool
    interrupted: bool = False


def program_named(word: str) -> str:
    """Return the path of the program that *word* means, as a shell finds it. Raises CannotExecute,
    CommandNotFound."""
    found = shutil.which(word)
    if found is not None:
        return found
    hint = "" if " " not in word else f"What only a shell understands needs one: sh -c '{word}'"
    if os.sep not in word:
        raise CommandNotFound(f'the command "{word}" was not found on PATH', hint=hint)
    if os.path.exists(word):  # noqa: PTH110 - as it is written, relative to the working folder
        raise CannotExecute(
            f'the command "{word}" cannot be executed',
            detail="It is a folder." if os.path.isdir(word) else "It is not executable.",  # noqa: PTH112
        )
    raise CommandNotFound(f'the command "{word}" was not found', hint=hint)


def run_in_foreground(
    argv: Sequence[str], *, stdout: int | None = None, env: Mapping[str, str] | None = None
) -> Ended:
    """Run a program to its end; *stdout* (a descriptor) stands in for our standard output, *env*
    for our environment. What it leaves running in the background is not waited for. Raises
    CannotExecute, CommandNotFound."""
    interrupts.check()
    path = program_named(argv[0])
    started = time.monotonic()
    with _passing() as passing:
        try:
            child = subprocess.Popen(list(argv), executable=path, stdout=stdout, env=env)
        except OSError as error:
            raise CannotExecute(
                f'the command "{argv[0]}" cannot be executed',
                detail=f"{error.strerror}.",
            ) from None
        passing.begin(child)
        status = child.wait()
    return Ended(
        exit_code=status if status >= 0 else 128 - status,
        signal=signal.Signals(-status).name if status < 0 else "",
        seconds=time.monotonic() - started,
        asked_to_end=bool({signal.SIGTERM, signal.SIGHUP} & set(passing.received)),
        interrupted=signal.SIGINT in passing.received,
    )


@dataclass(slots=True)
class _Passing:
    """Passes signals on to a program; those that arrive before it is started too."""

    child: subprocess.Popen[bytes] | None = None
    received: list[int] = field(default_factory=list)

    def begin(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        for number in self.received:
            child.send_signal(number)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)
        if self.child is not None and not (number in _OF_TERMINALS and _in_foreground()):
            self.child.send_signal(number)


@contextlib.contextmanager
def _passing() -> Iterator[_Passing]:
    """Pass on the signals that this process does not ignore; none of them ends it within the
    block."""
    passing = _Passing()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: one for number, one in before.items() if one is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, passing)
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Return whether a Ctrl-C on our terminal reaches all processes of our group."""
    try:
        tty = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(tty) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(tty)
