"""Import: existing dump files become snapshots, dated by their names, oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pgsnap.errors import SourceError, UsageError
from pgsnap.model import SnapshotId, SourceKind
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import ArchiveReader, FileSource
from pgsnap.targets.file import ENDINGS
from pgsnap.values import dataclass
from pgsnap.words import plural
from pgsnap.workflows.commit.backup_names import words_before_time
from pgsnap.workflows.commit.commit import CommitReport, commit
from pgsnap.workflows.commit.dump_files import DatedFile, Dating, files_by_names, without_copies

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class UndatedFile:
    """A file that cannot be imported because its time is unknown, and why."""

    path: Path
    error: UsageError


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The files to import, oldest first, those left out, and warnings for the user."""

    files: tuple[DatedFile, ...]
    undated: tuple[UndatedFile, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """The result of importing a file. *report* is the commit's, if there was one; *snapshot_id* is
    its snapshot, even if imported earlier (and *is_forgotten* since); *error* says why there is
    none."""

    file: DatedFile
    snapshot_id: SnapshotId | None = None
    report: CommitReport | None = None
    error: SourceError | None = None
    is_forgotten: bool = False


class _OnePhase:
    """Presents the commits of many files as one phase, with the file's name as its detail."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        pass

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        self._progress.advance(plain_bytes, self._name)

    def say(self, line: str) -> None:
        self._progress.say(line)


def plan_import(paths: Sequence[Path], dating: Dating, *, skip_bad: bool = False) -> ImportPlan:
    """Return the files that *paths*, files and folders, refer to. Reads only files that may hold
    the same dump.

    Raises UsageError for missing paths, for two dumps of the same time, and, unless *skip_bad*, for
    a file that cannot be dated.
    """
    warnings: list[str] = []
    found: list[Path] = []
    for path in paths:
        found += _files_in(path, warnings) if path.is_dir() else [path]
    files: list[DatedFile] = []
    undated: list[UndatedFile] = []
    for names in files_by_names(found):
        dated = dating.date(names)
        if isinstance(dated, DatedFile):
            files.append(dated)
        elif skip_bad:
            undated.append(UndatedFile(names[0], dated))
        else:
            raise dated
    files.sort(key=lambda file: (file.time, file.path.name))
    once = without_copies(files)
    if len(once) < len(files):
        count = len(files) - len(once)
        copies = "1 copy" if count == 1 else f"{count} copies"
        warnings.append(f"left alone {copies} of the same dumps, of the same times")
    stems = Counter(words_before_time(file.path.name) for file in once)
    if len(stems) > 1:
        names_shown = ", ".join(
            f'"{stem}" ({count})' for stem, count in stems.most_common(_NAMES_SHOWN)
        )
        warnings.append(
            f"the files have different names, are they all of one database? {names_shown}"
        )
    return ImportPlan(tuple(once), tuple(undated), tuple(warnings))


def import_dumps(
    repo: Repository,
    files: Sequence[DatedFile],
    *,
    database: str,
    tags: Sequence[str] = (),
    skip_bad: bool = False,
    archives: ArchiveReader | None = None,
    told: Callable[[ImportedFile], None] = lambda done: None,
    progress: Progress = SILENT,
) -> list[ImportedFile]:
    """Import *files*, oldest first, as snapshots of *database*, a label; *told* is called with
    each.

    A file is not read again if a snapshot has its name and time, forgotten or not, and not recorded
    again if a snapshot of the same time has its contents: an interrupted import can be repeated.
    The parent of each is the newest snapshot at or before its time. *tags* are for a single file;
    *archives* reads those in pg_dump's custom format. Raises the SourceError of the first file that
    is not a complete dump, unless *skip_bad*; UsageError, StoreError.
    """
    if tags and len(files) != 1:
        raise UsageError(
            "a tag names one snapshot, and there are several files",
            hint="Import them, then tag the one that is meant: snap tag NAME REV",
        )
    # If a file became two snapshots, the one that is not forgotten counts.
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
            source = FileSource(file.path, archives=archives)
            done = _import_one(
                repo, file, source, database, tags, skip_bad=skip_bad, progress=progress
            )
        results.append(done)
        told(done)
    return results


def _import_one(
    repo: Repository,
    file: DatedFile,
    source: FileSource,
    database: str,
    tags: Sequence[str],
    *,
    skip_bad: bool,
    progress: Progress,
) -> ImportedFile:
    try:
        report = commit(
            repo,
            source,
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
            hint=error.hint if skip_bad else _or_skip(error.hint),
        )
        if not skip_bad:
            raise named from error
        return ImportedFile(file, error=named)
    for notice in source.notices:
        progress.say(notice)
    return ImportedFile(file, report.snapshot_id, report if report.recorded else None)


def _or_skip(hint: str) -> str:
    """Return *hint* with --skip-bad as the alternative."""
    if not hint:
        return "Leave it out: --skip-bad"
    return f"{hint}{'' if hint.endswith(('.', '?', '!')) else '.'} Or leave it out: --skip-bad"


def _files_in(folder: Path, warnings: list[str]) -> list[Path]:
    """Return the dumps in *folder*, recognized by their suffixes."""
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
        were = "was" if len(others) == 1 else "were"
        warnings.append(
            f'{plural(len(others), "other file")} in "{folder}" {were} left alone: {shown}'
        )
    return dumps


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
