"""Whether what would start scheduled runs runs itself: a crontab alone starts nothing."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from pgsnap.runners.programs import run
from pgsnap.schedulers import systemd
from pgsnap.values import dataclass

PROC = Path("/proc")
# Debian's and Red Hat's cron, Alpine's and BusyBox's, fcron.
_DAEMONS = frozenset({"cron", "crond", "cronie", "fcron"})
_UNITS = ("cron.service", "crond.service", "cronie.service", "fcron.service", "cron.target")
_PID_FILES = (Path("/run/crond.pid"), Path("/run/cron.pid"), Path("/run/fcron.pid"))
_LINGER = Path("/var/lib/systemd/linger")
_TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Idle:
    """Why a scheduler starts nothing, and the command that changes that."""

    reason: str
    remedy: str


def why_idle(by: str) -> Idle | None:
    """Return why the scheduler *by*, "systemd" or "cron", starts nothing on this host; None if it
    runs, or if that cannot be seen."""
    if by == "systemd":
        if systemd.runs_here():
            return None
        return Idle("systemd does not run here", "snap schedule install --with cron")
    if _cron_runs():
        return None
    return Idle("no cron daemon runs here", _starts_cron())


def runs_at_times(by: str) -> Idle | None:
    """Return why a scheduler that runs does not do so all the time; None if it does."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    if by != "systemd" or os.geteuid() == 0 or (_LINGER / name).exists():
        return None
    return Idle(
        f"timers of a user run only while {name} is logged in", f"loginctl enable-linger {name}"
    )


def _cron_runs() -> bool:
    if systemd.BOOTED.is_dir() and _is_active_unit():
        return True
    found = [entry for entry in PROC.iterdir() if entry.name.isdecimal()]
    if any(_is_daemon(entry) for entry in found):
        return True
    # Mounted with hidepid, /proc does not show the processes of others, the first one included.
    return not (PROC / "1").exists() and any(_has_process(path) for path in _PID_FILES)


def _is_active_unit() -> bool:
    """Return whether systemd has an active unit that reads crontabs: systemd-cron has no daemon."""
    if shutil.which("systemctl") is None:
        return False
    try:
        # Its status is that of all units together, so it is its words that count.
        done = run(["systemctl", "is-active", *_UNITS], timeout=_TIMEOUT_SECONDS)
    except (OSError, TimeoutError):
        return False
    return b"active" in done.stdout.split()


def _is_daemon(process: Path) -> bool:
    """Return whether a process is a cron daemon of this host that reads crontabs of ours: of root
    or of ourselves, not a dead one, nor one in a container that this host runs."""
    try:
        if (process / "comm").read_text().strip() not in _DAEMONS:
            return False
        status = dict(
            line.split(":", 1) for line in (process / "status").read_text().splitlines() if line
        )
        owner = int(status["Uid"].split()[0])
    except (OSError, ValueError, KeyError):
        # It has ended meanwhile.
        return False
    is_ours = len(status.get("NSpid", "").split()) <= 1
    return is_ours and status["State"].strip()[:1] not in "ZX" and owner in (0, os.geteuid())


def _has_process(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _starts_cron() -> str:
    """Return the command that starts cron here, as root."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    for name in ("cron", "crond", "cronie"):
        if systemd.BOOTED.is_dir():
            folders = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
            if any((Path(folder) / f"{name}.service").exists() for folder in folders):
                return f"{sudo}systemctl enable --now {name}"
        elif (Path("/etc/init.d") / name).exists() and shutil.which("service"):
            return f"{sudo}service {name} start"
    for name in ("cron", "crond"):
        if shutil.which(name) or (Path("/usr/sbin") / name).exists():
            return f"{sudo}{name}"
    return f"{sudo}apt-get install cron"
