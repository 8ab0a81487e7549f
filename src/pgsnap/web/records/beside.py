"""What is known beside the repository: schedules, remotes, the audit log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pgsnap.values import dataclass
from pgsnap.web.pages.base import Page
from pgsnap.web.pages.paging import Part, part_of
from pgsnap.web.service import Service
from pgsnap.words import SHORT_ID_CHARS

RUNS_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Run:
    """A line of the audit log."""

    time: datetime
    who: str
    command: str
    database: str
    arguments: str
    snapshots: tuple[str, ...]
    exit_code: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Audit:
    """The newest runs first; *unreadable* lines, and *left_out* ones of a log that is too large."""

    runs: Part[Run]
    command: str
    commands: tuple[str, ...]
    unreadable: int
    left_out: int


def schedules(service: Service, values: Mapping[str, str]) -> Page:
    return Page("schedules.html", "Schedules", service.schedule(), "schedules")


def remotes(service: Service, values: Mapping[str, str]) -> Page:
    return Page("remotes.html", "Remotes", service.remotes(), "remotes")


def audit(service: Service, values: Mapping[str, str]) -> Page:
    found = service.audit()
    command = values.get("command", "")
    commands: set[str] = set()
    chosen: deque[dict[str, Any]] = deque()
    for entry in found.entries:
        name = str(entry.get("command"))
        commands.add(name)
        if command in ("", name):
            chosen.appendleft(entry)
    part = part_of(chosen, values.get("page", ""), RUNS_PER_PAGE)
    runs = Part(tuple(map(_run, part.items)), part.number, part.count, part.total)
    data = Audit(runs, command, tuple(sorted(commands)), found.unreadable, found.left_out)
    return Page("audit.html", "Audit log", data, "audit")


def _run(entry: dict[str, Any]) -> Run:
    """Return what is shown of an entry. Somebody else may have written to the file: of what has
    another type nothing is shown."""
    result = entry.get("result")
    ids = entry.get("snapshots") or [result.get("id") if isinstance(result, dict) else None]
    arguments = entry.get("arguments")
    named = arguments if isinstance(arguments, dict) else {}
    code = entry.get("exit_code")
    seconds = entry.get("seconds")
    who = f"{entry.get('user', '?')}@{entry.get('host', '?')}"
    if entry.get("sudo_user"):
        who += f" ({entry['sudo_user']})"
    return Run(
        datetime.fromisoformat(str(entry["time"])).astimezone(UTC),
        who,
        str(entry.get("command") or "?"),
        str(entry.get("database") or ""),
        " ".join(_argument(name, value) for name, value in named.items()),
        tuple(one for one in _listed(ids) if isinstance(one, str) and len(one) >= SHORT_ID_CHARS),
        code if isinstance(code, int) else None,
        float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _argument(name: str, value: Any) -> str:
    if value is True:
        return name
    words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name}={words}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


BESIDE: dict[str, Callable[[Service, Mapping[str, str]], Page]] = {
    "/schedules": schedules,
    "/remotes": remotes,
    "/audit": audit,
}
