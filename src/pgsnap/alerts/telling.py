"""Sends notifications. Nothing here raises: a failed delivery is a warning."""

from __future__ import annotations

import enum
import importlib
import json
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pgsnap import extras
from pgsnap.alerts.post import LIMIT_SECONDS, post
from pgsnap.alerts.waiting import within
from pgsnap.values import dataclass


class Event(enum.StrEnum):
    """The events that can be reported."""

    START = "start"
    SUCCESS = "success"
    FAILURE = "failure"
    RED = "red"
    """`snap check` found something red that was not red before."""
    RECOVERED = "recovered"
    """`snap check` found all green again."""


DEFAULT_EVENTS = (Event.FAILURE, Event.RED, Event.RECOVERED)

_PING_PATHS = {Event.START: "/start", Event.SUCCESS: "", Event.FAILURE: "/fail"}


@dataclass(frozen=True, slots=True)
class Alerts:
    """The recipients. *ping_urls* has a URL for each job, *events* apply to webhook and apprise.

    URLs are secrets: they appear in no message and no repr().
    """

    ping_urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook: str | None = field(default=None, repr=False)
    apprise: tuple[str, ...] = field(default=(), repr=False)
    metrics_file: Path | None = None
    events: tuple[Event, ...] = DEFAULT_EVENTS


@dataclass(frozen=True, slots=True)
class Message:
    """A notification. *fields* is the JSON of the webhook, without secrets."""

    event: Event
    job: str
    title: str
    text: str
    fields: Mapping[str, Any]


def ping(alerts: Alerts, message: Message) -> list[str]:
    """Ping the dead man's switch that a run started or ended; return warnings."""
    url, path = alerts.ping_urls.get(message.job), _PING_PATHS.get(message.event)
    if url is None or path is None:
        return []
    address, mark, query = url.partition("?")
    address = f"{address.rstrip('/')}{path}{mark}{query}"
    # A start ping must not delay the backup for long.
    attempts = {"attempts": 1} if message.event is Event.START else {}
    failed = post(address, message.text.encode(), "text/plain", what="the ping", **attempts)
    return [failed] if failed else []


def tell(alerts: Alerts, message: Message) -> list[str]:
    """Send *message* to webhook and apprise if its event is wanted; return warnings."""
    if message.event not in alerts.events:
        return []
    warnings = []
    if alerts.webhook is not None:
        body = json.dumps({"event": message.event, "text": message.title, **message.fields})
        failed = post(alerts.webhook, body.encode(), "application/json", what="the webhook")
        warnings += [failed] if failed else []
    if alerts.apprise:
        failed = within(
            LIMIT_SECONDS,
            lambda: _notify(alerts.apprise, message),
            f"apprise took longer than {LIMIT_SECONDS:g} seconds",
        )
        warnings += [failed] if failed else []
    return warnings


def _notify(urls: tuple[str, ...], message: Message) -> str:
    """Return "" or why it did not arrive."""
    # An optional extra: it pulls in eleven packages.
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        return f"apprise is not installed. {extras.hint('notify')}"
    service = apprise.Apprise()
    wrong = [number for number, url in enumerate(urls, 1) if not service.add(url)]
    if wrong:
        return f"apprise does not know address {wrong[0]} of [alerts]"
    kind = "failure" if message.event in (Event.FAILURE, Event.RED) else "success"
    sent = service.notify(title=message.title, body=message.text, notify_type=kind)
    return "" if sent else "apprise could not reach every address"
