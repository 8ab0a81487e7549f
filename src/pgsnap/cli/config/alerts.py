"""The table [alerts] of snap.toml, and the secrets that it refers to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pgsnap.cli.config.keys import (
    Key,
    Reader,
    choice,
    key,
    keys_of,
    path,
    read_keys,
    secret_file,
    text,
)
from pgsnap.cli.config.schedule import JOBS
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.alerts.telling import Alerts

T = TypeVar("T")

# As in alerts.telling, whose import would slow down every start.
EVENTS = ("start", "success", "failure", "red", "recovered")


def _url(value: Any, where: str, folder: Path) -> str:
    words = text(value, where, folder).strip()
    try:
        parts = urlsplit(words)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or not words.isprintable() or " " in words:
        # The text is not shown: it is a secret.
        raise UsageError(f"{where} must be a URL that begins with https:// or http://")
    return words


def _of_jobs(reader: Reader[T]) -> Reader[dict[str, T]]:
    """Return a reader of one text, for `commit`, or of a table with a text for each job."""
    keys = dict.fromkeys(JOBS, Key(reader))

    def read(value: Any, where: str, folder: Path) -> dict[str, T]:
        if isinstance(value, str):
            return {"commit": reader(value, where, folder)}
        return read_keys(value, where, folder, keys, "alerts.ping_url")

    return read


def _addresses(value: Any, where: str, folder: Path) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise UsageError(f"{where} must be an address of apprise, or a list of them")
    return tuple(text(one, where, folder) for one in values)


def _events(value: Any, where: str, folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f'{where} must be a list, such as ["failure", "red"]')
    read = choice(*EVENTS)
    return tuple(read(one, f"each of {where}", folder) for one in value)


_PING = (
    "a dead man's switch, as healthchecks.io has them: `URL/start` when the scheduled commit "
    "begins, `URL` when it succeeded, `URL/fail` when it failed, with exit code and error in the "
    'body. For other jobs too as a table: `ping_url = {commit = "…", gc = "…"}`'
)
_WEBHOOK = (
    "gets JSON by POST: `event`, `text`, `job`, `host`, `folder`, `started`, `finished`, "
    "`exit_code`, `seconds`, `error`; of a check `findings`"
)
_APPRISE = (
    "addresses of [apprise](https://github.com/caronc/apprise) (mail, chats and many more), one or "
    "a list, one on a line of the file; needs the extra `notify`"
)


@dataclass(frozen=True, slots=True)
class AlertsTable:
    """The values of [alerts]; None if not set. Files are read when an alert is due.

    A ping URL belongs to one job: one shared by all jobs would hide that one of them is missing.
    """

    ping_url: dict[str, str] | None = key(None, _of_jobs(_url), meaning=_PING, secret=True)
    ping_url_file: dict[str, Path] | None = key(
        None, _of_jobs(secret_file), '"ping-url"', meaning=_PING
    )
    webhook: str | None = key(None, _url, meaning=_WEBHOOK, secret=True)
    webhook_file: Path | None = key(None, secret_file, '"webhook-url"', meaning=_WEBHOOK)
    apprise: tuple[str, ...] = key((), _addresses, meaning=_APPRISE, secret=True)
    apprise_file: Path | None = key(None, secret_file, meaning=_APPRISE)
    metrics_file: Path | None = key(
        None,
        path,
        '"/var/lib/node_exporter/snap.prom"',
        meaning="gets Prometheus' text after each run, for node_exporter's textfile collector",
    )
    on: tuple[str, ...] | None = key(
        None,
        _events,
        '["failure", "red", "recovered"]',
        meaning="which events go to webhook and apprise: `start`, `success`, `failure` of a "
        "scheduled run; `red`, `recovered` of a check. By default "
        '`["failure", "red", "recovered"]`',
    )

    def resolved(self) -> Alerts:
        """Return the recipients, with the contents of the files. Raises UsageError."""
        from pgsnap.alerts.telling import DEFAULT_EVENTS, Alerts, Event

        pings = dict(self.ping_url or {})
        for job, file in (self.ping_url_file or {}).items():
            pings[job] = _url_in(file, "ping_url_file")
        webhook, apprise = self.webhook, self.apprise
        if self.webhook_file is not None:
            webhook = _url_in(self.webhook_file, "webhook_file")
        if self.apprise_file is not None:
            apprise += tuple(_secret(self.apprise_file, "apprise_file").split())
        events = DEFAULT_EVENTS if self.on is None else tuple(map(Event, self.on))
        return Alerts(pings, webhook, apprise, self.metrics_file, events)


ALERTS_KEYS = keys_of(AlertsTable)


def read_alerts(value: Any, where: str, folder: Path) -> AlertsTable:
    """Parse the table *value*; *where* names it in errors. Raises UsageError."""
    found = AlertsTable(**read_keys(value, where, folder, ALERTS_KEYS, "alerts"))
    if found.webhook is not None and found.webhook_file is not None:
        raise UsageError(f'{where} has both "webhook" and "webhook_file"')
    twice = sorted((found.ping_url or {}).keys() & (found.ping_url_file or {}).keys())
    if twice:
        raise UsageError(f'{where} has two ping URLs for "{twice[0]}"')
    return found


def _secret(file: Path, key: str) -> str:
    """Return what *file* holds; *key* names it in errors: if there is no such file, its path may be
    the secret itself, and is not shown."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        reason = "It is not UTF-8."
    except OSError as error:
        reason = f"{error.strerror}."
    raise UsageError(
        f'cannot read the file that "{key}" of [alerts] names',
        detail=reason,
        hint="Its name is not shown, as it could be the secret itself: look into snap.toml.",
    )


def _url_in(file: Path, key: str) -> str:
    return _url(_secret(file, key), f'what is in the file of "{key}"', file.parent)
