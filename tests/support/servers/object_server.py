"""An object store on loopback that fails on request: S3 as far as snap uses it, and the XML
interface of Google Cloud Storage, which is the same but for its conditions. It stands for no
provider: what it shows is what snap does after a fault, not what a provider does."""

from __future__ import annotations

import contextlib
import enum
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
_PAGE = 1000


class Fault(enum.Enum):
    """What happens to a request. "Late" is what happens after it took effect."""

    DROP = "the connection ends, without effect"
    LATE_DROP = "the connection ends after the effect"
    HANG = "no answer, without effect"
    LATE_HANG = "no answer, after the effect"
    DELAYED = "the effect comes once the client has given up"
    CUT = "the connection ends in the middle of the answer"
    CONFLICT = "409 ConditionalRequestConflict"
    SLOW_DOWN = "503 SlowDown"
    LATE_SLOW_DOWN = "503 SlowDown after the effect"
    INTERNAL = "500 InternalError"
    TOO_MANY = "429 TooManyRequests"
    TIME_OUT = "400 RequestTimeout"
    EXPIRED = "400 ExpiredToken"
    SKEWED = "403 RequestTimeTooSkewed"
    DENIED = "403 AccessDenied"
    RETAINED = "403 ObjectLockedByBucketPolicy"
    FULL = "507 QuotaExceeded"
    ABSENT = "404 NoSuchKey"


_CODES = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 416: "InvalidRange"}
LATE = {Fault.LATE_DROP, Fault.LATE_HANG, Fault.LATE_SLOW_DOWN, Fault.DELAYED}
_WORDED = re.compile(r"(\d{3}) (\w+)")


@dataclass(frozen=True)
class Seen:
    """A request: *key* is without the bucket, "" for a listing."""

    method: str
    key: str
    query: Mapping[str, str]
    who: str
    sent_bytes: int
    # By lower-case names.
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Rights:
    """What a credential may do, below these prefixes. One that may not overwrite everything writes
    only on condition that there is no object, as a policy of AWS words it."""

    creates: tuple[str, ...] = ("",)
    overwrites: tuple[str, ...] = ("",)
    deletes: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class _Stored:
    data: bytes
    generation: int
    etag: str


def _nothing(seen: Seen) -> Fault | None:
    return None


@dataclass
class ObjectServer:
    """A context manager. *held_by* may hold a request back; then *plan* says what happens to it."""

    plan: Callable[[Seen], Fault | None] = _nothing
    held_by: Callable[[Seen], object] = _nothing
    # Of no credentials: everybody may do everything.
    rights: Mapping[str, Rights] = field(default_factory=dict)
    # How long a request without an answer is held.
    hangs_seconds: float = 30.0
    # What a delayed request waits for besides: it never takes effect before its client gave up.
    delayed_until: Callable[[], bool] = lambda: True
    # Whether reads are answered only after all that was delayed had its effect.
    reads_settle: bool = False
    # Whether conditions are honoured, and objects deleted; how long after a look they are stored.
    if_none_match: bool = True
    if_match: bool = True
    delete_if_match: bool = True
    deletes: bool = True
    gap_seconds: float = 0.0
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.objects: dict[str, _Stored] = {}
        self.lock = threading.RLock()
        self.generation = 0
        self.ended = threading.Event()
        # How many requests were delayed, and how many of them are over.
        self.delayed = self.came_late = 0

        class Bound(_Handler):
            store = self

        self._server = _Server(("127.0.0.1", 0), Bound)
        # Its default, half a second, is what each test would wait for its end.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def data(self, prefix: str = "") -> dict[str, bytes]:
        """Return the objects below a prefix, by the rest of their keys."""
        with self.lock:
            return {
                key.removeprefix(prefix): stored.data
                for key, stored in self.objects.items()
                if key.startswith(prefix)
            }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def settle(self) -> None:
        """Wait until all that was delayed had its effect."""
        assert waits(lambda: self.came_late == self.delayed, 120.0), "a client never gave up"

    # -- effects ------------------------------------------------------------------------------

    def write(self, key: str, data: bytes, refused: Callable[[_Stored | None], int]) -> int:
        """Store an object unless *refused* gives a status; return the status."""
        if self.gap_seconds:
            if status := refused(self.objects.get(key)):
                return status
            time.sleep(self.gap_seconds)
        with self.lock:
            status = 0 if self.gap_seconds else refused(self.objects.get(key))
            if not status:
                self.generation += 1
                etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
                self.objects[key] = _Stored(data, self.generation, etag)
            return status or 200

    def delete(self, key: str, refused: Callable[[_Stored | None], int]) -> int:
        with self.lock:
            status = refused(self.objects.get(key))
            if not status and self.deletes:
                self.objects.pop(key, None)
            return status or 204


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that give up are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    store: ObjectServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, key, query, found[1] if found else "", len(body), headers)
        self.store.held_by(seen)
        with self.store.lock:
            self.store.seen.append(seen)
            fault = self.store.plan(seen)
            self.store.delayed += fault is Fault.DELAYED
        if bucket != BUCKET:
            self._refuse(404, "NoSuchBucket")
            return
        if fault in (Fault.DROP, Fault.HANG):
            self._end(hangs=fault is Fault.HANG)
            return
        worded = _WORDED.match(fault.value) if fault is not None else None
        if worded is not None and fault not in LATE:
            self._refuse(int(worded[1]), worded[2])
            return
        if fault is Fault.DELAYED:
            self._wait_for_the_end()
        with self._muted(fault):
            getattr(self, f"_{self.command.lower()}")(seen, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = _serve  # noqa: N815

    @contextlib.contextmanager
    def _muted(self, fault: Fault | None) -> Iterator[None]:
        """Let the effect happen within the block, and the answer be what *fault* says."""
        self._cuts = fault is Fault.CUT
        self._mute = fault in LATE
        yield
        if fault is Fault.LATE_SLOW_DOWN:
            self._mute = False
            self._refuse(503, "SlowDown")
        elif fault in LATE:
            self._end(hangs=fault is Fault.LATE_HANG)
        with self.store.lock:
            self.store.came_late += fault is Fault.DELAYED

    def _wait_for_the_end(self) -> None:
        """Wait until the client has given up, and for what the test wants to happen before."""
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        while not (self.store.delayed_until() or self.store.ended.is_set()):
            time.sleep(0.02)

    def _end(self, *, hangs: bool) -> None:
        if hangs:
            self.store.ended.wait(self.store.hangs_seconds)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    # -- requests -----------------------------------------------------------------------------

    def _put(self, seen: Seen, body: bytes) -> None:
        rights = self._rights(seen)

        creates = self.headers.get("If-None-Match") == "*"
        creates = creates or self.headers.get("x-goog-if-generation-match") == "0"

        def refused(current: _Stored | None) -> int:
            # Rights are looked at before the object.
            if not seen.key.startswith(rights.creates if creates else rights.overwrites):
                return 403
            return self._condition(current)

        status = self.store.write(seen.key, body, refused)
        self._answer(status, stored=self.store.objects.get(seen.key))

    def _delete(self, seen: Seen, body: bytes) -> None:
        rights = self._rights(seen)

        def refused(current: _Stored | None) -> int:
            if not seen.key.startswith(rights.deletes):
                return 403
            return self._condition(current) if self.store.delete_if_match else 0

        self._answer(self.store.delete(seen.key, refused))

    def _get(self, seen: Seen, body: bytes) -> None:
        if not seen.key:
            self._list(seen.query)
            return
        if self.store.reads_settle:
            self.store.settle()
        with self.store.lock:
            stored = self.store.objects.get(seen.key)
        if stored is None:
            self._answer(404)
            return
        asked = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, stored.data, stored=stored)
            return
        size = len(stored.data)
        start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(int(asked[2]) + 1, size) if asked[1] and asked[2] else size
        if start >= size:
            self._answer(416)
            return
        self._answer(206, stored.data[start:end], stored=stored, extent=f"{start}-{end - 1}/{size}")

    _head = _get

    def _list(self, query: Mapping[str, str]) -> None:
        prefix = query.get("prefix", "")
        behind = query.get("continuation-token") or query.get("start-after", "")
        with self.store.lock:
            keys = sorted(
                key for key in self.store.objects if key.startswith(prefix) and key > behind
            )
            sizes = {key: len(self.store.objects[key].data) for key in keys[:_PAGE]}
        is_more = len(keys) > _PAGE
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-25T10:00:00.000Z"
            f'</LastModified><ETag>"e"</ETag><Size>{size}</Size></Contents>'
            for key, size in sizes.items()
        )
        token = f"<NextContinuationToken>{escape(keys[_PAGE - 1])}" if is_more else ""
        token += "</NextContinuationToken>" if token else ""
        text = (
            f'<?xml version="1.0"?><ListBucketResult><Name>{BUCKET}</Name>{entries}'
            f"<KeyCount>{len(sizes)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>{token}"
            f"<IsTruncated>{str(is_more).lower()}</IsTruncated></ListBucketResult>"
        )
        self._answer(200, text.encode())

    def _rights(self, seen: Seen) -> Rights:
        return self.store.rights.get(seen.who, Rights())

    def _condition(self, current: _Stored | None) -> int:
        """Return the status with which a condition refuses a write, or 0."""
        store = self.store
        headers = self.headers
        generation = headers.get("x-goog-if-generation-match")
        if generation is not None:
            return 0 if int(generation) == (current.generation if current else 0) else 412
        if store.if_none_match and headers.get("If-None-Match") == "*" and current:
            return 412
        wanted = headers.get("If-Match") if store.if_match else None
        if wanted and current is None:
            return 404
        return 412 if wanted and current and wanted != current.etag else 0

    # -- answers ------------------------------------------------------------------------------

    def _refuse(self, status: int, code: str) -> None:
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>injected</Message></Error>'
        self._mute = self._cuts = False
        self._answer(status, text.encode())

    def _answer(
        self, status: int, body: bytes = b"", *, stored: _Stored | None = None, extent: str = ""
    ) -> None:
        if self._mute:
            return
        if status >= 400 and not body:
            body = f'<?xml version="1.0"?><Error><Code>{_CODES[status]}</Code></Error>'.encode()
        self.send_response(status)
        if stored is not None:
            self.send_header("ETag", stored.etag)
            self.send_header("x-goog-generation", str(stored.generation))
            self.send_header("Last-Modified", "Wed, 25 Nov 2026 10:00:00 GMT")
        if extent:
            self.send_header("Content-Range", f"bytes {extent}")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self._cuts else body)
        self.wfile.flush()
        if self._cuts:
            self._end(hangs=False)


def nth(number: int, fault: Fault, *, repeats: int = 1) -> Callable[[Seen], Fault | None]:
    """Return a plan: *fault* for the request of this number (the first: 0) and those after it."""
    counted = iter(range(1_000_000))

    def plan(seen: Seen) -> Fault | None:
        return fault if number <= next(counted) < number + repeats else None

    return plan


def always(fault: Fault, *methods: str) -> Callable[[Seen], Fault | None]:
    """Return a plan: *fault* for every request of *methods* (none: of all)."""

    def plan(seen: Seen) -> Fault | None:
        return fault if not methods or seen.method in methods else None

    return plan


def waits(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Return whether *condition* came true within *seconds*."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
