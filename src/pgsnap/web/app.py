"""The application: addresses, and what answers at them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from pgsnap.errors import CorruptionError, RepositoryLocked, RevisionError, SnapError, UsageError
from pgsnap.web.pages.base import Asked, Page, PageNotFound
from pgsnap.web.pages.routes import PAGES
from pgsnap.web.rendering import render, static_text
from pgsnap.web.safety import READING, Bound, Guard
from pgsnap.web.service import Service
from pgsnap.web.sessions import TOKEN_HEADER, Sessions

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_STATUS: tuple[tuple[type[SnapError], int], ...] = (
    (PageNotFound, 404),
    (RevisionError, 404),
    (UsageError, 400),
    (RepositoryLocked, 503),
    (CorruptionError, 500),
)


class App:
    """The pages over a *service*, for one session."""

    def __init__(self, service: Service, sessions: Sessions, bound: Bound) -> None:
        self._service = service
        self._sessions = sessions
        self._bound = bound

    def asgi(self) -> Starlette:
        """Return the application as a server runs it."""
        guard = Middleware(Guard, bound=self._bound, sessions=self._sessions, is_open=_is_open)
        routes = [
            Route("/session", self._session, methods=["POST"]),
            Route("/static/{name}", _static, methods=["GET"]),
            *(Route(path, self._shows(make), methods=["GET"]) for path, make in PAGES.items()),
            Route("/{path:path}", self._shows(_nothing), methods=["GET"]),
        ]
        return Starlette(routes=routes, middleware=[guard])

    def _session(self, request: Request) -> Response:
        """Exchange the token for the session's value."""
        value = self._sessions.exchange(request.headers.get(TOKEN_HEADER, ""))
        if value is None:
            return PlainTextResponse("this is not the token, or it was used\n", 403)
        return PlainTextResponse(value)

    def _shows(self, make: Callable[[Asked], Page]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            if not request.state.in_session:
                # Holds nothing: its script asks again, with the session's value.
                return HTMLResponse(static_text("shell.html"))
            return self._page(request, make)

        return answer

    def _page(self, request: Request, make: Callable[[Asked], Page]) -> Response:
        now = datetime.now(UTC)
        code = 200
        try:
            with self._service.open() as repo:
                asked = Asked(repo, now, dict(request.query_params), acts=False)
                page = make(asked)
        except SnapError as error:
            code = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            page = Page("error.html", error.message, error)
        return HTMLResponse(self._rendered(page, now), code)

    def _rendered(self, page: Page, now: datetime) -> str:
        more: dict[str, Any] = {"repository": self._service.repository}
        return render(page, now=now, acts=False, **more)


def _is_open(method: str, path: str) -> bool:
    """Return whether what is at *path* may be read without a session: the shell of a page, which is
    empty, what every page is made of, and the exchange of the token."""
    return method in READING or path == "/session"


def _static(request: Request) -> Response:
    path = _STATIC / request.path_params["name"]
    if path.suffix not in _TYPES or not path.is_file() or path.parent != _STATIC:
        return PlainTextResponse("there is no such file\n", 404)
    return FileResponse(path, media_type=_TYPES[path.suffix])


def _nothing(asked: Asked) -> Page:
    raise PageNotFound("there is no such page", hint="Go to the databases: all begin there.")
