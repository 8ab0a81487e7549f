"""A real systemd, booted by the tests: process 1 of namespaces of its own, over this host's files.

What it and its units would change of the host is theirs alone: the units and stamps of timers lie
in memory, as /run does; /etc and the kernel's settings cannot be written; it has a cgroup of its
own. Only the units that are named here are started, so nothing of the host's boot is repeated.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from support.restoring.steps import children_of
from support.running.commandline import Result

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = Path("/etc/systemd/system")
_UNITS_OF_THE_HOST = (
    *("sysinit.target", "basic.target", "sockets.target", "timers.target", "paths.target"),
    *("slices.target", "shutdown.target", "network.target", "network-online.target"),
    *("systemd-journald.service", "systemd-journald.socket"),
)
_JOURNAL = "[Journal]\\nStorage=volatile\\nReadKMsg=no\\nAudit=\\nForwardToSyslog=no\\n"
# Within a cgroup of its own, which is the root for everything that is started here.
_OUTER = """
set -e
{mount}
mkdir {cgroup}
echo $$ > {cgroup}/cgroup.procs
exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup sh -c {inner}
"""
_INNER = f"""
set -e
mount -t proc proc /proc
mount -t cgroup2 none /sys/fs/cgroup
mount --bind /etc /etc
mount -o remount,bind,ro /etc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
for folder in /run {UNITS} /var/lib/systemd; do
  mount -t tmpfs -o mode=755 tmpfs $folder
done
mkdir -p /run/systemd/journald.conf.d
printf '{_JOURNAL}' > /run/systemd/journald.conf.d/tests.conf
cd /lib/systemd/system
cp {" ".join(_UNITS_OF_THE_HOST)} {UNITS}
exec env -i container=tests SYSTEMD_UNIT_PATH={UNITS} PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  {SYSTEMD} --system --unit=basic.target --log-target=console --show-status=no
"""
_FORGET = """
set -e
{mount}
find {cgroup} -depth -type d -exec rmdir {{}} +
"""
# Elsewhere than where it may be already: the kernel refuses the same twice in one place.
_MOUNT = """\
mount -t tmpfs none /sys/fs/cgroup
mkdir /sys/fs/cgroup/all
mount -t cgroup2 none /sys/fs/cgroup/all"""
_OPEN = """
upper=$(mktemp -d /run/upper.XXXXXX)
mkdir "$upper/data" "$upper/work"
mount -t overlay -o "lowerdir=$1,upperdir=$upper/data,workdir=$upper/work" overlay "$1"
chmod 755 "$1"
"""
_START_SECONDS = 60.0


class CannotBoot(Exception):
    """This machine does not let systemd run in namespaces; the words say why."""


class Systemd:
    """The running system. Files are the host's, but for what the module says."""

    def __init__(self, log: Path) -> None:
        """Boot; what it says on its console goes to *log*. Raises CannotBoot."""
        self._log = log
        self._cgroup = f"/sys/fs/cgroup/all/snap-test-{os.getpid()}"
        outer = _OUTER.format(mount=_MOUNT, cgroup=self._cgroup, inner=shlex.quote(_INNER))
        with log.open("wb") as console:
            self._child = subprocess.Popen(
                # It ends with the tests, whatever ends them.
                ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "sh", "-c", outer],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        try:
            self._await_boot()
            self.ok("systemctl", "start", "systemd-journald.socket", "systemd-journald.service")
        except BaseException:
            self.close()
            raise

    def _await_boot(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise self._cannot_boot()
            if self._first() is not None:
                done = self.run("systemctl", "is-system-running")
                if done.out.strip() in ("running", "degraded"):
                    return
            time.sleep(0.05)

    def _cannot_boot(self) -> CannotBoot:
        return CannotBoot(self._log.read_text(errors="replace")[-500:])

    def _first(self) -> int | None:
        """Return process 1 of the namespaces as this host sees it; None where there is none."""
        ours = Path("/proc/self/ns/pid").readlink()
        for process in children_of(self._child.pid):
            # The shell that makes the namespaces has other children before, each for a moment.
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process}/ns/pid").readlink() != ours:
                    return process
        return None

    def argv(self, *arguments: str) -> list[str]:
        """Return the command that runs a program inside."""
        first = self._first()
        if first is None:
            raise self._cannot_boot()
        return ["nsenter", f"--target={first}", "--all", "--wd=/", "--", *arguments]

    def run(self, *arguments: str, environ: dict[str, str] | None = None, user: int = 0) -> Result:
        """Run a program inside with *environ* in place of the variables of the tests."""
        become = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run(
            self.argv("setpriv", *become, "env", "-i", *_words(environ or {}), *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, environ: dict[str, str] | None = None, user: int = 0) -> str:
        """Run a program inside, which must succeed; return its output."""
        done = self.run(*arguments, environ=environ, user=user)
        assert done.code == 0, done.err
        return done.out

    def start_user_manager(self, user: int, home: Path) -> dict[str, str]:
        """Start what runs the units of a user, as a login does; return the user's variables."""
        environ = {"HOME": str(home), "XDG_RUNTIME_DIR": f"/run/user/{user}"}
        self.write_unit(
            "user-manager.service",
            f"[Service]\nType=notify\nUser={user}\nDelegate=yes\n"
            f"RuntimeDirectory=user/{user}\nRuntimeDirectoryMode=0700\n"
            f"Environment={' '.join(_words(environ))}\nUnsetEnvironment=SYSTEMD_UNIT_PATH\n"
            f"ExecStart={SYSTEMD} --user --unit=basic.target\n",
        )
        self.ok("systemctl", "start", "user-manager.service")
        return environ

    def let_all_enter(self, path: Path) -> None:
        """Open the folders above *path* to every user, inside only."""
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                self.ok("sh", "-ec", _OPEN, "sh", str(folder))

    def write_unit(self, name: str, text: str) -> None:
        """Write a unit of the user's own and let systemd know."""
        self.ok("sh", "-c", f'printf %s "$1" > {UNITS}/"$2"', "sh", text, name)
        self.ok("systemctl", "daemon-reload")

    def path(self, inside: Path) -> Path:
        """Return where this host sees a file of the booted system."""
        return Path("/proc", str(self._first()), "root") / inside.relative_to("/")

    def property(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.ok("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> str:
        """Return the lines that a unit wrote."""
        self.ok("journalctl", "--sync")
        return self.ok("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def close(self) -> None:
        """End everything that runs inside."""
        self._child.kill()
        self._child.wait()
        forget = [
            "unshare",
            "--mount",
            "sh",
            "-c",
            _FORGET.format(mount=_MOUNT, cgroup=self._cgroup),
        ]
        deadline = time.monotonic() + _START_SECONDS
        while subprocess.run(forget, capture_output=True, check=False).returncode:
            # Until the last process is gone.
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)


def _words(environ: dict[str, str]) -> Sequence[str]:
    return [f"{name}={value}" for name, value in {"PATH": os.environ["PATH"], **environ}.items()]
