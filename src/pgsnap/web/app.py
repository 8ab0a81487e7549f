"""The application: addresses, and what answers at them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, RepositoryLocked, RevisionError, SnapError, UsageError
from pgsnap.files.refusals import refused
from pgsnap.web.actions import pages as action_pages
from pgsnap.web.actions.jobs import Jobs, NoSuchJob
from pgsnap.web.pages.base import Asked, Page, PageNotFound
from pgsnap.web.pages.routes import PAGES
from pgsnap.web.records.beside import BESIDE
from pgsnap.web.rendering import render, static_text
from pgsnap.web.safety import Bound, Guard
from pgsnap.web.service import Service
from pgsnap.web.sessions import TOKEN_HEADER, Sessions

_STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class PageNotRead(SnapError):
    """Reading for a page was stopped."""

    kind = "page-not-read"


_STATUS: tuple[tuple[type[SnapError], int], ...] = (
    (PageNotFound, 404),
    (NoSuchJob, 404),
    (RevisionError, 404),
    (UsageError, 400),
    (RepositoryLocked, 503),
    (CorruptionError, 500),
    (PageNotRead, 503),
)


class App:
    """The pages over a *service*, for one session. Without *jobs* nothing can be done, only looked
    at."""

    def __init__(
        self, service: Service, sessions: Sessions, bound: Bound, jobs: Jobs | None = None
    ) -> None:
        self._service = service
        self._sessions = sessions
        self._bound = bound
        self._jobs = jobs
        self._actions = action_pages.Actions(jobs, self._shown) if jobs is not None else None

    def asgi(self) -> ASGIApp:
        """Return the application as a server runs it."""
        of_repo = {path: self._of_repository(make) for path, make in PAGES.items()}
        beside = {path: self._of_service(make) for path, make in BESIDE.items()}
        actions = self._action_routes()
        shown = of_repo | beside | {"/{path:path}": self._looked_at(_nothing)}
        before = [
            Route("/session", self._session, methods=["POST"]),
            Route("/static/{name}", _static, methods=["GET"]),
        ]
        routes = [
            *before,
            *actions,
            *(Route(path, answer, methods=["GET"]) for path, answer in shown.items()),
        ]
        # What is reached without a session is an application of its own, which knows no repository.
        entrance = [
            *before,
            Route("/{path:path}", _shell, methods=["GET"]),
            Route("/{path:path}", _no_session, methods=["POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={SnapError: self._failed})
        return Guard(app, Starlette(routes=entrance), self._bound, self._sessions)

    def _action_routes(self) -> list[Route]:
        actions = self._actions
        if actions is None:
            return []

        def form(request: Request) -> Page:
            query = {**request.query_params, "verb": request.path_params["verb"]}
            with self._service.open() as repo:
                return action_pages.form(Asked(repo, datetime.now(UTC), query, acts=True))

        def job(request: Request) -> Page:
            return actions.job(request.path_params["id"])

        pages: dict[str, Callable[[Request], Page]] = {
            "/actions": lambda request: actions.verbs(),
            "/actions/{verb}": form,
            "/jobs/{id}": job,
        }
        shown = [
            Route(path, self._looked_at(make), methods=["GET"]) for path, make in pages.items()
        ]
        return [*actions.routes(), *shown]

    def _session(self, request: Request) -> Response:
        """Exchange the token for the session's value."""
        value = self._sessions.exchange(request.headers.get(TOKEN_HEADER, ""))
        if value is None:
            return PlainTextResponse("this is not the token, or it was used\n", 403)
        return PlainTextResponse(value)

    def _of_repository(self, make: Callable[[Asked], Page]) -> Callable[[Request], Response]:
        def look(request: Request) -> Page:
            with self._service.open() as repo:
                acts = self._jobs is not None
                query = dict(request.query_params)
                return make(Asked(repo, datetime.now(UTC), query, acts=acts))

        return self._looked_at(look)

    def _of_service(
        self, make: Callable[[Service, dict[str, str]], Page]
    ) -> Callable[[Request], Response]:
        return self._looked_at(lambda request: make(self._service, dict(request.query_params)))

    def _looked_at(self, make: Callable[[Request], Page]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                return self._shown(make(request))
            except interrupts.Stopped:
                # The signal was meant for the job, or for the server.
                raise PageNotRead(
                    "the page was not read to its end",
                    detail="A job is being stopped, or the server ends.",
                    hint="Look again.",
                ) from None
            except OSError as error:
                # As where a diff needs more room for temporary files than there is.
                if (told := refused(error)) is not None:
                    raise told from None
                raise

        return answer

    def _shown(self, page: Page, code: int = 200) -> Response:
        running = self._jobs.current() if self._jobs is not None else None
        text = render(
            page,
            now=datetime.now(UTC),
            acts=self._jobs is not None,
            repository=self._service.repository,
            running=running,
        )
        return HTMLResponse(text, code)

    async def _failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, SnapError)
        code = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return self._shown(Page("error.html", error.message, error), code)


def _shell(request: Request) -> Response:
    """Answer with a page that holds nothing: its script asks again, with the session's value."""
    return HTMLResponse(static_text("shell.html"))


def _no_session(request: Request) -> Response:
    return PlainTextResponse("no session\n", 403)


def _static(request: Request) -> Response:
    path = _STATIC / request.path_params["name"]
    if path.suffix not in _TYPES or not path.is_file() or path.parent != _STATIC:
        return PlainTextResponse("there is no such file\n", 404)
    # Whole, whatever a request says of ranges or dates.
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])


def _nothing(request: Request) -> Page:
    raise PageNotFound("there is no such page", hint="Go to the databases: all begin there.")
