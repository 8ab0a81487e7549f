"""systemd timers: units as text, written and enabled."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from pgsnap.errors import StoreError
from pgsnap.files import whole
from pgsnap.runners.programs import run
from pgsnap.schedulers.cron import on_calendar
from pgsnap.schedulers.jobs import Job, Schedule, SchedulerFailed, unit_stem

BOOTED = Path("/run/systemd/system")
"""Exists where systemd is the first process (sd_booted(3))."""

_TIMEOUT_SECONDS = 60


def runs_here() -> bool:
    """Return whether systemd would run timers of this user."""
    if not BOOTED.is_dir() or shutil.which("systemctl") is None:
        return False
    if os.geteuid() == 0:
        return True
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return (Path(folder) / "systemd").is_dir()


def unit_folder() -> Path:
    """Return the folder for units: the system's for root, else the user's."""
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    named = os.environ.get("XDG_CONFIG_HOME")
    return (Path(named) if named else Path("~/.config").expanduser()) / "systemd" / "user"


def units(schedule: Schedule, *, system: bool) -> dict[str, str]:
    """Return the text of every unit by name: a service and a timer for each job."""
    stem = unit_stem(schedule.config)
    found = {}
    for job in schedule.jobs:
        found[f"{stem}-{job.name}.service"] = _service(schedule, job, system=system)
        found[f"{stem}-{job.name}.timer"] = _timer(schedule, job)
    return found


def _service(schedule: Schedule, job: Job, *, system: bool) -> str:
    network = "Wants=network-online.target\nAfter=network-online.target\n" if system else ""
    return (
        "# Written by `snap schedule install`.\n"
        "[Unit]\n"
        f"Description=snap {job.name} ({_plain(str(schedule.config))})\n"
        f"{network}"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"ExecStart={' '.join(map(_quoted, job.argv))}\n"
        f"WorkingDirectory={_plain(str(schedule.config.parent))}\n"
        "UMask=0077\n"
        # snap ends its own children, and cleans up after them.
        "KillMode=mixed\n"
        "TimeoutStopSec=5min\n"
    )


def _timer(schedule: Schedule, job: Job) -> str:
    calendar = "".join(f"OnCalendar={value}\n" for value in on_calendar(job.when))
    return (
        "# Written by `snap schedule install`.\n"
        "[Unit]\n"
        f"Description=snap {job.name} on time ({_plain(str(schedule.config))})\n"
        "\n"
        "[Timer]\n"
        f"{calendar}"
        # Catches up on a run that was missed while the machine was off.
        "Persistent=true\n"
        "AccuracySec=1s\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Quote a word of a command line (systemd.service(5), "Command lines")."""
    if re.fullmatch(r"[\w./:=@+-]+", word, re.ASCII):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{_plain(escaped)}"'


def install(schedule: Schedule, folder: Path, *, system: bool) -> list[Path]:
    """Write the units of a schedule, remove those of jobs that it no longer has, and enable the
    timers. Returns the files. Raises SchedulerFailed, StoreError."""
    wanted = units(schedule, system=system)
    old = [path for path in files(schedule.config, folder) if path.name not in wanted]
    _switch_off(old, system=system)
    _write(folder, wanted)
    _systemctl(["daemon-reload"], system=system)
    timers = [name for name in wanted if name.endswith(".timer")]
    _systemctl(["enable", "--now", *timers], system=system)
    # A timer that is already running picks up its new times only on a restart.
    _systemctl(["restart", *timers], system=system)
    return [folder / name for name in wanted]


def _write(folder: Path, wanted: Mapping[str, str]) -> None:
    try:
        if wanted:
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in wanted.items():
            whole.write_at(folder / name, text.encode("utf-8", "surrogateescape"), 0o644)
    except OSError as error:
        raise StoreError(f'cannot write units to "{folder}"', detail=f"{error.strerror}.") from None


def remove(config: Path, folder: Path, *, system: bool) -> list[Path]:
    """Disable and delete the units of *config*; return them. Raises SchedulerFailed."""
    found = files(config, folder)
    if found:
        _switch_off(found, system=system)
        _systemctl(["daemon-reload"], system=system)
    return found


def texts(config: Path, folder: Path) -> dict[str, str]:
    """Return the text of the existing units of *config*, by name."""
    return {path.name: path.read_text("utf-8", "surrogateescape") for path in files(config, folder)}


def put_back(config: Path, folder: Path, before: Mapping[str, str], *, system: bool) -> None:
    """Let the units of *config* be those that `texts` returned *before*. Raises SchedulerFailed,
    StoreError."""
    now = texts(config, folder)
    if now == before:
        return
    _switch_off([folder / name for name in now if name not in before], system=system)
    _write(folder, before)
    _systemctl(["daemon-reload"], system=system)
    if timers := [name for name in before if name.endswith(".timer")]:
        _systemctl(["enable", "--now", *timers], system=system)
        _systemctl(["restart", *timers], system=system)


def files(config: Path, folder: Path) -> list[Path]:
    """Return the existing units of *config*."""
    return sorted(
        path
        for path in folder.glob(f"{unit_stem(config)}-*")
        if path.suffix in (".service", ".timer")
    )


def active_jobs(config: Path, *, system: bool) -> frozenset[str]:
    """Return the jobs of *config* whose timers are active. Raises SchedulerFailed."""
    stem = unit_stem(config)
    asked = ["list-units", "--plain", "--no-legend", "--no-pager", "--state=active"]
    listed = _systemctl([*asked, f"{stem}-*.timer"], system=system)
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    return frozenset(name.removeprefix(f"{stem}-").removesuffix(".timer") for name in names)


def _switch_off(paths: list[Path], *, system: bool) -> None:
    timers = [path.name for path in paths if path.suffix == ".timer"]
    if timers:
        with contextlib.suppress(SchedulerFailed):
            # A timer that systemd no longer knows is off already.
            _systemctl(["disable", "--now", *timers], system=system)
    for path in paths:
        path.unlink(missing_ok=True)


def _systemctl(arguments: list[str], *, system: bool) -> str:
    argv = ["systemctl", *([] if system else ["--user"]), "--no-ask-password", *arguments]
    try:
        done = run(argv, timeout=_TIMEOUT_SECONDS)
    except (FileNotFoundError, TimeoutError) as error:
        why = str(error) or f"It took longer than {_TIMEOUT_SECONDS:.0f} seconds"
        raise SchedulerFailed("systemctl does not answer", detail=f"{why}.") from None
    if done.returncode:
        raise SchedulerFailed(
            f"systemctl {arguments[0]} failed",
            detail=done.stderr.decode("utf-8", "replace").strip(),
            hint=f"Run it by hand to see more: {' '.join(argv)}; or use cron: --with cron",
        )
    return done.stdout.decode("utf-8", "replace")
