"""A marked block in the user's crontab. Lines outside of it are kept byte for byte."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pgsnap.patterns import regex
from pgsnap.runners.programs import run
from pgsnap.schedulers.jobs import Schedule, SchedulerFailed, shell_line

_TIMEOUT_SECONDS = 30
_RUN = regex(rb" schedule run ([a-z]+) ")


def marks(config: Path) -> tuple[bytes, bytes]:
    """Return the first and the last line of the block of *config*."""
    name = os.fsencode(config)
    return b"# >>> pgsnap " + name + b" >>>", b"# <<< pgsnap " + name + b" <<<"


def block(schedule: Schedule) -> bytes:
    """Return the lines of a schedule, with their marks."""
    first, last = marks(schedule.config)
    lines = [first, b"# Written by `snap schedule install`; `snap schedule remove` takes it out."]
    for job in schedule.jobs:
        # In a crontab a percent sign is a line end, even inside quotes.
        command = shell_line(job.argv).replace("%", "\\%")
        lines.append(os.fsencode(f"{job.when.text} {command}"))
    return b"".join(line + b"\n" for line in (*lines, last))


def with_block(table: bytes, schedule: Schedule) -> bytes:
    """Return the crontab *table* with the schedule's block: in place of the existing one,
    else at the end."""
    before, found, after = _cut(table, schedule.config)
    if not found and before and not before.endswith(b"\n"):
        before += b"\n"
    return before + block(schedule) + after


def without_block(table: bytes, config: Path) -> bytes:
    """Return the crontab *table* without the block of *config*."""
    before, _, after = _cut(table, config)
    return before + after


def block_of(table: bytes, config: Path) -> bytes:
    """Return the block of *config*, empty if there is none."""
    return _cut(table, config)[1]


def active_jobs(table: bytes, config: Path) -> frozenset[str]:
    """Return the jobs that the block of *config* starts. Raises SchedulerFailed."""
    lines = block_of(table, config).splitlines()
    found = [_RUN.search(line) for line in lines if not line.lstrip().startswith(b"#")]
    return frozenset(match[1].decode() for match in found if match is not None)


def _cut(table: bytes, config: Path) -> tuple[bytes, bytes, bytes]:
    """Return the text before the block, the block, and the text after it.

    Raises SchedulerFailed if its end mark is missing: what follows may be somebody else's."""
    first, last = marks(config)
    lines = table.splitlines(keepends=True)
    bare = [line.rstrip(b"\r\n") for line in lines]
    if first not in bare:
        return table, b"", b""
    start = bare.index(first)
    if last not in bare[start:]:
        raise SchedulerFailed(
            "the block of snap in the crontab has no end",
            detail=f'The line "{os.fsdecode(last)}" is missing.',
            hint="Take the block out by hand: crontab -e",
        )
    end = bare.index(last, start) + 1
    return b"".join(lines[:start]), b"".join(lines[start:end]), b"".join(lines[end:])


def read_crontab() -> bytes:
    """Return the user's crontab, empty if there is none. Raises SchedulerFailed."""
    done = _crontab("-l")
    if done.returncode == 0:
        return done.stdout
    if b"no crontab for" in done.stderr:
        return b""
    raise _failed("-l", done)


def write_crontab(table: bytes) -> None:
    """Replace the user's crontab, and verify it by reading it back. An empty one is removed."""
    if not table:
        done = _crontab("-r")
        if done.returncode and b"no crontab for" not in done.stderr:
            raise _failed("-r", done)
        return
    done = _crontab("-", table)
    if done.returncode:
        raise _failed("-", done)
    if read_crontab() != table:
        raise SchedulerFailed(
            "the crontab is not what was written", hint="Look at it with: crontab -l"
        )


def _crontab(argument: str, table: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return run(
            ["crontab", argument],
            input=table if table is not None else b"",
            timeout=_TIMEOUT_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise SchedulerFailed(
            "there is neither systemd nor cron here",
            hint="Install cron: apt-get install cron",
        ) from None
    except TimeoutError:
        raise SchedulerFailed("crontab does not answer") from None


def _failed(argument: str, done: subprocess.CompletedProcess[bytes]) -> SchedulerFailed:
    words = done.stderr.decode(errors="replace").strip()
    return SchedulerFailed(
        f"crontab {argument} failed", detail=words, hint="See whether you may use it: crontab -l"
    )
