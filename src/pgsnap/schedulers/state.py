"""State of schedules beside their configuration file: `.snap/NAME/` for `NAME.toml`.

For each job a record of its last run and the lock file of its runs; what was installed, variables
for runs, and the logs of runs that cron started. A restore needs none of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgsnap.errors import StoreError, StoreFull
from pgsnap.files import flock, whole
from pgsnap.files.folder import NO_ROOM, Folder
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.schedulers.environment import ENVIRONMENT_FILE
from pgsnap.schedulers.jobs import JOBS
from pgsnap.values import dataclass

FOLDER = ".snap"
SCHEDULE_FILE = "schedule.json"

# A record takes a few hundred bytes per job.
_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The last run of a job. Times are ISO 8601 in UTC; *exit_code* is None while it runs.

    *error* is the last line of its error. *last_success* survives failed runs.
    """

    job: str
    started: str
    pid: int
    finished: str | None = None
    exit_code: int | None = None
    seconds: float | None = None
    error: str = ""
    last_success: str | None = None

    @property
    def start_time(self) -> datetime:
        return datetime.fromisoformat(self.started)


@dataclass(frozen=True, slots=True)
class Installed:
    """A job that was installed: when it runs, and since when. *by* is "systemd" or "cron"."""

    job: str
    when: str
    since: str
    by: str


class RunBusy(Exception):
    """An earlier run of the job is still active."""


class State:
    """The state folder of one configuration file; created on the first write."""

    def __init__(self, config: Path, trust: Trust = ONLY_OURS) -> None:
        self.files = Folder(config.parent, trust, below=f"{FOLDER}/{config.stem}")
        self.folder = self.files.path

    # -- runs ---------------------------------------------------------------------------------

    def last_run(self, job: str) -> RunRecord | None:
        """Return the last run of *job*, None if there is none or its record is damaged."""
        found = self._read(f"{job}.json")
        known = {field.name for field in fields(RunRecord)}
        try:
            record = RunRecord(**{name: found[name] for name in known & found.keys()})
            # Fails here, not in a caller, for a bad time.
            datetime.now(UTC) - record.start_time
        except (TypeError, ValueError):
            return None
        return record

    def record(self, run: RunRecord) -> None:
        """Store *run* as the last one of its job. Raises StoreError."""
        if run.last_success is None and (before := self.last_run(run.job)) is not None:
            run = replace(run, last_success=before.last_success)
        self.write(f"{run.job}.json", json.dumps(asdict(run)).encode())

    @contextlib.contextmanager
    def alone(self, job: str, *, wait_seconds: float) -> Iterator[None]:
        """Be the only run of *job* until the block ends. Raises RunBusy if another one is active
        for longer than *wait_seconds*, StoreError."""
        self._make()
        with self._errors():
            file = self.files.open(f"{job}.run", os.O_RDWR | os.O_CREAT)
        try:
            try:
                flock.lock(file, timeout=wait_seconds)
            except BlockingIOError:
                raise RunBusy from None
            yield
        finally:
            os.close(file)

    def is_running(self, job: str) -> bool:
        """Return whether a run of *job* is active."""
        try:
            file = self.files.open(f"{job}.run", os.O_RDWR)
        except OSError:
            return False
        try:
            return not flock.try_to_lock(file, fcntl.LOCK_SH)
        finally:
            os.close(file)

    # -- what is installed --------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """Return the jobs that were installed."""
        found = []
        for entry in self._read(SCHEDULE_FILE).get("jobs", ()):
            with contextlib.suppress(TypeError, ValueError):
                job = Installed(**entry)
                datetime.now(UTC) - datetime.fromisoformat(job.since)
                found.append(job)
        return found

    def set_installed(self, jobs: list[Installed]) -> None:
        """Replace the list of installed jobs. Raises StoreError."""
        self.write(SCHEDULE_FILE, json.dumps({"jobs": [asdict(job) for job in jobs]}).encode())

    # -- files --------------------------------------------------------------------------------

    @property
    def environment_path(self) -> Path:
        return self._path(ENVIRONMENT_FILE)

    def log_name(self, job: str) -> str:
        return f"{job}.log"

    def log_path(self, job: str) -> Path:
        return self._path(self.log_name(job))

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the contents of *name*.json; empty if it cannot be read."""
        return self._read(f"{name}.json")

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(f"{name}.json", json.dumps(value).encode())

    def content(self, name: str) -> bytes | None:
        """Return the contents of a file of the folder, None if there is none. Raises StoreError."""
        with self._errors():
            try:
                return self.files.read(name, _BYTES_MAX)
            except FileNotFoundError:
                return None

    def put_back(self, name: str, data: bytes | None) -> None:
        """Let a file have the contents that it had, None if there was none; what is empty then is
        removed. Raises StoreError."""
        if data is not None:
            self.write(name, data)
            return
        with self._errors():
            self.files.unlink(name, missing_ok=True)
            self._remove_if_empty()

    def forget(self) -> None:
        """Delete what is kept for scheduled runs: the list of jobs, the variables, and the records
        of jobs that do not run at this moment. Their logs stay. Raises StoreError."""
        ended = [job for job in JOBS if not self.is_running(job)]
        records = [f"{job}.{ending}" for job in ended for ending in ("json", "run")]
        with self._errors():
            for name in (SCHEDULE_FILE, ENVIRONMENT_FILE, *records):
                self.files.unlink(name, missing_ok=True)
            self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        """Remove the folder if nothing is in it, and the one above, which has a .gitignore."""
        above = Folder(self.folder.parent.parent, self.files.trust)
        with contextlib.suppress(FileNotFoundError):
            if self.files.entries():
                return
            above.unlink(f"{FOLDER}/{self.folder.name}", is_folder=True)
            if [entry.name for entry in above.entries(FOLDER)] == [".gitignore"]:
                above.unlink(f"{FOLDER}/.gitignore")
                above.unlink(FOLDER, is_folder=True)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of the folder, with mode 0600. Raises StoreError."""
        self._make()
        with self._errors():
            whole.write(self.files, name, data)

    def _make(self) -> None:
        with self._errors():
            self.files.make("")
            above = Folder(self.folder.parent.parent, self.files.trust, below=FOLDER)
            # It may exist already.
            with contextlib.suppress(FileExistsError):
                file = above.open(".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                with os.fdopen(file, "w") as ignore:
                    ignore.write("*\n")

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self.files.read(name, _BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise (StoreFull if error.errno in NO_ROOM else StoreError)(
                f'cannot write to "{self.folder}"',
                detail=f"{error.strerror}. Records of scheduled runs are kept there.",
            ) from error
