"""Import: dump files of the past become snapshots, dated by their names, oldest first."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from pathlib import Path

from pgsnap.errors import SourceError, UsageError
from pgsnap.format.times import from_micros
from pgsnap.model import SnapshotId, SourceKind
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.targets.file import ENDINGS
from pgsnap.workflows.backup_names import time_in_name, words_before_time
from pgsnap.workflows.commit import CommitReport, commit

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DatedFile:
    """A dump file, and when it was made."""

    path: Path
    time: datetime


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The files to import, oldest first, and what the user should know before."""

    files: tuple[DatedFile, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of a file. *report* tells what it added, if it did; *snapshot_id* is its
    snapshot, also where it was imported before (and *is_forgotten* since); *error* says why there
    is none."""

    file: DatedFile
    snapshot_id: SnapshotId | None = None
    report: CommitReport | None = None
    error: SourceError | None = None
    is_forgotten: bool = False


class _OnePhase:
    """Makes the commits of many files one phase, with the file's name as its detail."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        pass

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        self._progress.advance(plain_bytes, self._name)

    def say(self, line: str) -> None:
        self._progress.say(line)


def plan_import(
    paths: Sequence[Path], *, zone: tzinfo | None = None, use_mtime: bool = False
) -> ImportPlan:
    """Return the files that *paths*, files and folders, stand for. Reads no file.

    A time without an offset in a file's name is one of *zone* (None: here). Raises UsageError for
    what is not there, for a name without a time unless *use_mtime*, and for two files of one time.
    """
    warnings: list[str] = []
    found: list[Path] = []
    for path in paths:
        found += _files_in(path, warnings) if path.is_dir() else [path]
    files = [_dated(path, zone, use_mtime=use_mtime) for path in dict.fromkeys(found)]
    files.sort(key=lambda file: (file.time, file.path.name))
    for earlier, later in pairwise(files):
        if earlier.time == later.time:
            raise UsageError(
                f'"{earlier.path}" and "{later.path}" are of the same time',
                detail="They may be dumps of two databases; a chain of snapshots is of one.",
                hint="Import the files of each database by themselves, with its own --database.",
            )
    stems = Counter(words_before_time(file.path.name) for file in files)
    if len(stems) > 1:
        names = ", ".join(f'"{stem}" ({count})' for stem, count in stems.most_common(_NAMES_SHOWN))
        warnings.append(f"the files have different names, are they all of one database? {names}")
    return ImportPlan(tuple(files), tuple(warnings))


def import_dumps(
    repo: Repository,
    files: Sequence[DatedFile],
    *,
    database: str,
    tags: Sequence[str] = (),
    skip_bad: bool = False,
    told: Callable[[ImportedFile], None] = lambda done: None,
    progress: Progress = SILENT,
) -> list[ImportedFile]:
    """Import *files*, oldest first, as snapshots of *database*, a label; *told* hears of each.

    A file whose name and time a snapshot bears, forgotten or not, is not read again, and one whose
    contents a snapshot of the same time has is not recorded again: after an interruption, run it
    again. The parent of each is the newest snapshot at or before its time. *tags* are for a single
    file. Raises the SourceError of the first file that is no whole dump, unless *skip_bad*;
    UsageError, StoreError.
    """
    if tags and len(files) != 1:
        raise UsageError(
            "a tag names one snapshot, and there are several files",
            hint="Import them, then tag the one that is meant: snap tag NAME REV",
        )
    # Of two that a file became, the one that is not forgotten counts.
    stored = repo.newest(database, also_forgotten=True)
    stored.sort(key=lambda one: repo.forgotten_since(one) is None)
    known = {
        (snapshot.time, snapshot.origin.file_name): found
        for found in stored
        if (snapshot := repo.snapshot(found)).origin.kind is SourceKind.FILE
    }
    results = []
    progress.phase("import")
    for file in files:
        before = known.get((file.time, file.path.name))
        if before is not None:
            is_forgotten = repo.forgotten_since(before) is not None
            done = ImportedFile(file, before, is_forgotten=is_forgotten)
        else:
            done = _import_one(repo, file, database, tags, skip_bad=skip_bad, progress=progress)
        results.append(done)
        told(done)
    return results


def _import_one(
    repo: Repository,
    file: DatedFile,
    database: str,
    tags: Sequence[str],
    *,
    skip_bad: bool,
    progress: Progress,
) -> ImportedFile:
    try:
        report = commit(
            repo,
            FileSource(file.path),
            database=database,
            message=f"imported from {_printable(file.path.name)}",
            tags=tags,
            at=file.time,
            progress=_OnePhase(progress, file.path.name),
        )
    except SourceError as error:
        named = type(error)(
            f'"{file.path}" cannot be imported: {error.message}',
            detail=error.detail,
            hint=error.hint if skip_bad else f"{error.hint} Or leave it out: --skip-bad".strip(),
        )
        if not skip_bad:
            raise named from error
        return ImportedFile(file, error=named)
    return ImportedFile(file, report.snapshot_id, report if report.recorded else None)


def _files_in(folder: Path, warnings: list[str]) -> list[Path]:
    """Return the dumps in *folder*, by their endings."""
    if (folder / "toc.dat").exists():
        raise UsageError(
            f'"{folder}" is a dump in pg_dump\'s directory format',
            hint=f"Make plain SQL of it: pg_restore -f - {folder} | snap commit -m TEXT --file -",
        )
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [path for path in entries if path.is_file()]
    dumps = [path for path in files if path.name.endswith(ENDINGS)]
    if not dumps:
        raise UsageError(
            f'there is no dump in "{folder}"',
            detail=f"Their names end with {', '.join(ENDINGS)}.",
            hint="Name other files one by one.",
        )
    others = [path.name for path in files if path not in dumps]
    if others:
        shown = ", ".join(others[:_NAMES_SHOWN]) + (" …" if len(others) > _NAMES_SHOWN else "")
        warnings.append(f'{len(others)} other files in "{folder}" were left alone: {shown}')
    return dumps


def _dated(path: Path, zone: tzinfo | None, *, use_mtime: bool) -> DatedFile:
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f'"{path}" cannot be read', detail=f"{error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(
            f'"{path}" is no ordinary file', hint="Commit a stream: snap commit -m TEXT --file -"
        )
    if not os.access(path, os.R_OK):
        raise UsageError(f'"{path}" cannot be read', hint=f"Check its rights: ls -l {path}")
    time = time_in_name(path.name, zone)
    if time is None and use_mtime:
        time = from_micros(found.st_mtime_ns // 1000, f'"{path}"')
    if time is None:
        raise UsageError(
            f'no date stands in the name of "{path}"',
            detail="Snapshots are dated by names such as backup_20260131_020000.sql.gz.",
            hint="Take the times of the files instead: --use-mtime",
        )
    if time > datetime.now(UTC):
        raise UsageError(
            f'"{path}" is from the future: {time.isoformat()}',
            hint="Say in which time zone the names are: --timezone ZONE",
        )
    return DatedFile(path, time)


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
