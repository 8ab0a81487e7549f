"""Groups and dates dump files before they are read: names of the same file, times, copies."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from pathlib import Path

from pgsnap.errors import SourceError, UsageError
from pgsnap.format.times import from_micros
from pgsnap.sources.file import content_digest
from pgsnap.values import dataclass
from pgsnap.workflows.commit.backup_names import Doubt, NameTime, time_in_name
from pgsnap.workflows.commit.name_format import NameFormat


@dataclass(frozen=True, slots=True)
class DatedFile:
    """A dump file and its creation time."""

    path: Path
    time: datetime


@dataclass(frozen=True, slots=True)
class Dating:
    """How to date files: a time without an offset in a name is in *zone* (None: local); names are
    parsed by *pattern* if given, else by the usual formats."""

    zone: tzinfo | None = None
    use_mtime: bool = False
    pattern: NameFormat | None = None

    def date(self, names: Sequence[Path]) -> DatedFile | UsageError:
        """Return the file that *names* all refer to, dated by the most exact time that any of them
        has. Returns a UsageError if none of them has a time."""
        read = [self._read(path.name) for path in names]
        times = [
            (not found.has_clock, found.time, path)
            for path, found in zip(names, read, strict=True)
            if isinstance(found, NameTime)
        ]
        doubt = next((found for found in read if isinstance(found, Doubt)), None)
        if times:
            _, time, path = min(times)
        elif self.use_mtime and doubt is None:
            path = names[0]
            time = from_micros(path.stat().st_mtime_ns // 1000, f'"{path}"')
        else:
            return _undated(names[0], doubt, self.pattern)
        if time > datetime.now(UTC):
            return UsageError(
                f'"{path}" is from the future: {time.isoformat()}',
                hint="Say in which time zone the names are: --timezone ZONE",
            )
        return DatedFile(path, time)

    def _read(self, name: str) -> NameTime | Doubt | None:
        if self.pattern is not None:
            return self.pattern.time_in(name, self.zone)
        return time_in_name(name, self.zone)


def files_by_names(paths: Iterable[Path]) -> list[list[Path]]:
    """Return each file once, with all of its names among *paths*, symbolic links included. Raises
    UsageError for anything that is not a readable file."""
    found: dict[tuple[int, int], list[Path]] = {}
    for path in dict.fromkeys(paths):
        try:
            status = path.stat()
        except OSError as error:
            raise UsageError(f'"{path}" cannot be read', detail=f"{error.strerror}.") from error
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(
                f'"{path}" is no ordinary file',
                hint="Commit a stream: snap commit -m TEXT --file -",
            )
        if not os.access(path, os.R_OK):
            raise UsageError(
                f'"{path}" cannot be read', hint=f"Check its rights: ls -l {shlex.quote(str(path))}"
            )
        found.setdefault((status.st_dev, status.st_ino), []).append(path)
    return list(found.values())


def without_copies(files: Sequence[DatedFile]) -> list[DatedFile]:
    """Return *files*, sorted by time, without those that hold the same dump at the same time as the
    one before. Raises UsageError for different dumps of the same time."""
    once: list[DatedFile] = list(files[:1])
    for earlier, later in pairwise(files):
        if earlier.time != later.time:
            once.append(later)
        elif not _is_copy(earlier.path, later.path):
            raise UsageError(
                f'"{earlier.path}" and "{later.path}" are of the same time',
                detail="They hold different dumps, perhaps of two databases; a chain of snapshots"
                " is of one.",
                hint="Import the files of each database by themselves, with its own --database.",
            )
    return once


def _is_copy(one: Path, other: Path) -> bool:
    try:
        return content_digest(one) == content_digest(other)
    except SourceError:
        # One of them is damaged.
        return False


def _undated(path: Path, doubt: Doubt | None, pattern: NameFormat | None) -> UsageError:
    if pattern is not None and doubt is None:
        return UsageError(
            f'the name of "{path}" is not as --name-format has it',
            detail=f'The pattern is "{pattern.text}", for names without endings such as .sql.gz.',
            hint="Import files of other names by themselves, or leave them out: --skip-bad",
        )
    if doubt is None:
        return UsageError(
            f'no date stands in the name of "{path}"',
            detail="Snapshots are dated by names such as backup_20260131_020000.sql.gz.",
            hint="Say how it stands there: --name-format 'shop_%d%m%y*'. Take the times of the"
            " files instead: --use-mtime. Or leave it out: --skip-bad",
        )
    if not doubt.pattern:
        way = "Say in which time zone the names are: --timezone ZONE. Or leave it out: --skip-bad"
    else:
        way = f"If this reads it: --name-format {shlex.quote(doubt.pattern)}"
    return UsageError(
        f'the time in the name of "{path}" is not certain',
        detail=f"{doubt.why[0].upper()}{doubt.why[1:]}.",
        hint=way,
    )
