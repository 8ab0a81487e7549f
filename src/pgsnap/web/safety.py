"""What every request passes first: the host and origin that it names, the session, the headers of
its answer. Loopback alone does not keep other sites' scripts and other users of the host out."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsnap.values import dataclass
from pgsnap.web.sessions import SESSION_HEADER, Sessions

READING = ("GET", "HEAD")
# Of a page's own requests the browser says this much; a link or a typed address says "none".
_OWN = ("same-origin", "none")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
}


@dataclass(frozen=True, slots=True)
class Bound:
    """Where the server listens: at an *address* and *port* of loopback, or at a socket (no port),
    to which whatever forwards a port of loopback is connected."""

    address: str = ""
    port: int = 0

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def host(self) -> str:
        name = f"[{self.address}]" if ":" in self.address else self.address
        return f"{name}:{self.port}"

    def is_host(self, host: str) -> bool:
        """Return whether a request with this Host was meant for this server: a name that somebody
        else's name server says is this machine's was not."""
        if self.port:
            return host == self.host
        name, _, port = host.rpartition(":")
        if not port.isdecimal():
            name = host
        return name in ("localhost", "127.0.0.1", "[::1]")

    def is_origin(self, origin: str, host: str) -> bool:
        """Return whether a request with this Origin came from a page of this server."""
        return origin == (self.origin if self.port else f"http://{host}")


class Guard:
    """Lets through to *app* what this server's own page asked for, in its session. What has no
    session reaches *entrance* and nothing else, whatever its path says."""

    def __init__(self, app: ASGIApp, entrance: ASGIApp, bound: Bound, sessions: Sessions) -> None:
        self._app = app
        self._entrance = entrance
        self._bound = bound
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The lifespan of the server; websockets there are none.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._answering(scope)(scope, receive, with_headers)

    def _answering(self, scope: Scope) -> ASGIApp:
        """Return what answers a request."""
        headers = Headers(scope=scope)
        method, hosts = scope["method"], headers.getlist("host")
        if len(hosts) != 1 or not self._bound.is_host(hosts[0]):
            return PlainTextResponse("this server has another name\n", 421)
        if method not in (*READING, "POST"):
            return PlainTextResponse("no such method here\n", 405, {"Allow": "GET, HEAD, POST"})
        origin = headers.get("origin")
        if origin is not None and not self._bound.is_origin(origin, hosts[0]):
            return PlainTextResponse("from another site\n", 403)
        known = self._sessions.is_known(headers.get(SESSION_HEADER, ""))
        site = headers.get("sec-fetch-site", "none")
        if (known or method == "POST") and site not in _OWN:
            return PlainTextResponse("from another site\n", 403)
        if not known and SESSION_HEADER in headers:
            return PlainTextResponse("this session is over\n", 403)
        return self._app if known else self._entrance
