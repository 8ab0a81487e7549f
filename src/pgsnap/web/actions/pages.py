"""The forms of verbs, and the jobs that they start: their addresses, and what answers there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from pgsnap.errors import SnapError, UsageError
from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.values import dataclass
from pgsnap.web.actions.jobs import Job, JobBusy, Jobs
from pgsnap.web.actions.verbs import VERBS, Verb
from pgsnap.web.pages.base import Asked, Page, PageNotFound
from pgsnap.web.rendering import environment

_BODY_BYTES_MAX = 256 * 1024
_LOOK_SECONDS = 0.2
# A stream that says nothing for longer may be cut by what is between.
_QUIET_SECONDS = 10.0

Show = Callable[[Page, int], Response]


@dataclass(frozen=True, slots=True)
class Form:
    """A verb with what stands in its fields; *labels* are the databases, *about* is the snapshot
    that is meant, if it is known, *newest* the last one of its database; *error* is why it could
    not be started, *busy* what prevents it."""

    verb: Verb
    values: Mapping[str, str]
    labels: tuple[str, ...] = ()
    about: tuple[SnapshotId, SnapshotHead] | None = None
    newest: SnapshotId | None = None
    error: SnapError | None = None
    busy: Job | None = None


def form(asked: Asked) -> Page:
    """Return the form of the verb that the address names, filled by the query."""
    verb = _verb(asked.value("verb"))
    about, values, newest = _about(asked), dict(asked.values), None
    if about is not None:
        values["label"] = about[1].database
        newest = next(iter(asked.repo.newest(about[1].database, 1)), None)
    return _form(Form(verb, values, tuple(asked.repo.databases()), about, newest))


def _about(asked: Asked) -> tuple[SnapshotId, SnapshotHead] | None:
    text = asked.value("snapshot")
    if len(text) != 64:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return next(iter(asked.repo.heads([found])), None) if asked.repo.has_snapshot(found) else None


def _form(data: Form) -> Page:
    return Page("action.html", data.verb.title, data, "actions")


def _verb(name: str) -> Verb:
    if name not in VERBS:
        raise PageNotFound("there is no such action", hint="See what can be done: Actions.")
    return VERBS[name]


class Actions:
    """What starts, shows, answers and stops *jobs*; *show* lays a page out."""

    def __init__(self, jobs: Jobs, show: Show) -> None:
        self._jobs = jobs
        self._show = show

    def routes(self) -> list[Route]:
        return [
            Route("/actions/{verb}", self._start, methods=["POST"]),
            Route("/jobs/{id}/events", self._events, methods=["GET"]),
            Route("/jobs/{id}/answer", self._answer, methods=["POST"]),
            Route("/jobs/{id}/stop", self._stop, methods=["POST"]),
        ]

    def verbs(self) -> Page:
        return Page("actions.html", "Actions", (list(VERBS.values()), self._jobs.all()), "actions")

    def job(self, job_id: str) -> Page:
        found = self._jobs.get(job_id)
        return Page("job.html", found.title, found, "actions")

    async def _start(self, request: Request) -> Response:
        values = await _values(request)
        verb = _verb(request.path_params["verb"])
        try:
            job = self._jobs.submit(verb.title, verb.words(values))
        except (UsageError, JobBusy) as error:
            busy = self._jobs.current() if isinstance(error, JobBusy) else None
            labels = (values["label"],) if values.get("label") else ()
            return self._show(_form(Form(verb, values, labels, error=error, busy=busy)), 400)
        return _go_to(job)

    async def _answer(self, request: Request) -> Response:
        values = await _values(request)
        job_id = request.path_params["id"]
        self._jobs.answer(job_id, values.get("word", ""), declines="decline" in values)
        return Response(status_code=204)

    async def _stop(self, request: Request) -> Response:
        self._jobs.stop(request.path_params["id"])
        return Response(status_code=204)

    async def _events(self, request: Request) -> Response:
        job = self._jobs.get(request.path_params["id"])
        return StreamingResponse(_stream(job), media_type="text/event-stream")


def _go_to(job: Job) -> Response:
    """Let the page that asked go on to the job: by name, since no address of another site may
    stand here."""
    where = json.dumps({"path": f"/jobs/{job.id}", "target": "body", "swap": "innerHTML"})
    return HTMLResponse("", headers={"HX-Location": where})


async def _values(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises UsageError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_BYTES_MAX:
            raise UsageError("the form is larger than any of this page's")
    if body and kind != "application/x-www-form-urlencoded":
        raise UsageError("what was sent is no form")
    found = parse_qs(body.decode("utf-8", "surrogateescape"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


async def _stream(job: Job) -> AsyncIterator[str]:
    """Yield events about a job until it is over: "job" with all of it where it looks different,
    "progress" with how far it is."""
    version = turn = -1
    quiet = 0.0
    while True:
        is_over = job.is_over
        if job.turn != turn:
            turn, version, quiet = job.turn, job.version, 0.0
            yield _event("job", "job_state.html", job)
        elif job.version != version:
            version, quiet = job.version, 0.0
            yield _event("progress", "job_progress.html", job)
        elif quiet >= _QUIET_SECONDS:
            quiet = 0.0
            yield ": still there\n\n"
        if is_over:
            yield "event: end\ndata:\n\n"
            return
        await asyncio.sleep(_LOOK_SECONDS)
        quiet += _LOOK_SECONDS


def _event(name: str, template: str, job: Job) -> str:
    text: Any = environment().get_template(template).render(job=job)
    data = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{data}\n"
