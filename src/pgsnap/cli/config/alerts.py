"""The table [alerts] of snap.toml, and the secrets that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgsnap.cli.config.keys import Reader, choice, read_keys, text
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.alerts.telling import Alerts

# As alerts.telling and schedulers.jobs have them, which every start would pay for.
EVENTS = ("start", "success", "failure", "red", "recovered")
JOBS = ("commit", "gc", "verify", "drill", "check")


@dataclass(frozen=True, slots=True)
class AlertsTable:
    """What [alerts] says; None where it says nothing. Files are read when an alert is due.

    A ping URL belongs to one job: one that all jobs pinged would hide that one of them is missing.
    """

    folder: Path
    ping_url: dict[str, str] = field(default_factory=dict, repr=False)
    ping_url_file: dict[str, Path] = field(default_factory=dict)
    webhook: str | None = field(default=None, repr=False)
    webhook_file: Path | None = None
    apprise: tuple[str, ...] = field(default=(), repr=False)
    apprise_file: Path | None = None
    metrics_file: Path | None = None
    on: tuple[str, ...] | None = None

    def resolved(self) -> Alerts:
        """Return whom to tell, with what the files hold. Raises UsageError."""
        from pgsnap.alerts.telling import DEFAULT_EVENTS, Alerts, Event

        pings = dict(self.ping_url)
        for job, path in self.ping_url_file.items():
            pings[job] = _url(_secret(path), f'"{path}"')
        webhook, apprise = self.webhook, self.apprise
        if self.webhook_file is not None:
            webhook = _url(_secret(self.webhook_file), f'"{self.webhook_file}"')
        if self.apprise_file is not None:
            apprise += tuple(_secret(self.apprise_file).split())
        events = DEFAULT_EVENTS if self.on is None else tuple(map(Event, self.on))
        return Alerts(pings, webhook, apprise, self.metrics_file, events)


def read_alerts(value: Any, where: str, folder: Path) -> AlertsTable:
    """Return the table *value*; *where* names it in errors. Raises UsageError."""
    known = read_keys(value, where, _READERS, "alerts")
    for name in ("webhook_file", "apprise_file", "metrics_file"):
        if name in known:
            known[name] = folder / Path(known[name]).expanduser()
    files = known.get("ping_url_file", {})
    known["ping_url_file"] = {job: folder / Path(p).expanduser() for job, p in files.items()}
    if "webhook" in known and "webhook_file" in known:
        raise UsageError(f'{where} has both "webhook" and "webhook_file"')
    twice = sorted(known.get("ping_url", {}).keys() & known["ping_url_file"].keys())
    if twice:
        raise UsageError(f'{where} has two ping URLs for "{twice[0]}"')
    return AlertsTable(folder, **known)


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "It is not UTF-8"
        raise UsageError(f'cannot read "{path}" of [alerts]', detail=f"{reason}.") from None


def _url(value: Any, where: str) -> str:
    words = text(value, where).strip()
    try:
        parts = urlsplit(words)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or not words.isprintable() or " " in words:
        # The text is not repeated: it is a secret.
        raise UsageError(f"{where} must be a URL that begins with https:// or http://")
    return words


def _of_jobs(reader: Reader) -> Reader:
    """Return a reader of a text for `commit`, or of a table with a text for each job."""

    def read(value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, str):
            return {"commit": reader(value, where)}
        return read_keys(value, where, dict.fromkeys(JOBS, reader), "alerts.ping_url")

    return read


def _addresses(value: Any, where: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise UsageError(f"{where} must be an address of apprise, or a list of them")
    return tuple(text(one, where) for one in values)


def _events(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f'{where} must be a list, such as ["failure", "red"]')
    read = choice(*EVENTS)
    return tuple(read(one, f"each of {where}") for one in value)


_READERS: dict[str, Reader] = {
    "ping_url": _of_jobs(_url),
    "ping_url_file": _of_jobs(text),
    "webhook": _url,
    "webhook_file": text,
    "apprise": _addresses,
    "apprise_file": text,
    "metrics_file": text,
    "on": _events,
}

ALERTS_KEYS: tuple[str, ...] = tuple(_READERS)
