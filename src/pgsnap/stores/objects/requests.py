"""Requests to an object store, repeated after faults that may pass.

obstore's own retries are off: only who knows each attempt knows whether a conditional write may
have taken effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pgsnap.stores import waiting
from pgsnap.stores.counting import Counter, Request
from pgsnap.stores.objects.faults import Fault, Verdict, judge, raised
from pgsnap.stores.pacing import Pace, Times, Traffic

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion

_T = TypeVar("_T")

_FIRST_ATTEMPTS = 4


class Backend(Protocol):
    """A provider: how it is reached, with whose rights, and how it words its conditions."""

    @property
    def place(self) -> str:
        """Return the bucket and its provider, for messages."""

    @property
    def source(self) -> str:
        """Return where the credentials are from, for messages."""

    @property
    def hint(self) -> str:
        """Return how to give other credentials."""

    @property
    def secrets(self) -> frozenset[str]:
        """Return what must not appear in messages."""

    def open(self, times: Times) -> Any:
        """Return a store of obstore."""

    def refresh(self) -> None:
        """Look for credentials again at the next `open`."""

    def version(self, meta: ObjectMeta) -> UpdateVersion:
        """Return what a conditional write of the version *meta* names."""

    def delete(self, name: str, meta: ObjectMeta, times: Times) -> None:
        """Delete an object if it still is the version *meta*. Raises what obstore raises."""


class Refused(Exception):
    """A request failed, and repeating it would not help."""

    def __init__(self, fault: Fault, was_unsure: bool) -> None:
        super().__init__(fault.words)
        self.fault = fault
        # Whether an attempt before it may have taken effect.
        self.was_unsure = was_unsure


class Requests:
    """Makes requests, from many threads. A signal ends the wait for one, and leaves it behind."""

    def __init__(self, backend: Backend, pace: Pace, counter: Counter) -> None:
        self.backend = backend
        self.pace = pace
        self.counter = counter
        self.traffic = Traffic(pace)
        self._clients: dict[Times, Any] = {}
        self._lock = threading.Lock()
        # A server that was never reached may be a wrong address: that is said soon.
        self._has_answered = False

    def wait(self, task: Callable[[], _T], what: str) -> _T:
        try:
            return waiting.waited_for(task)
        except Refused as refused:
            backend = self.backend
            raise raised(refused.fault, what, backend.place, backend.source, backend.hint) from None

    def run(
        self,
        kind: Request,
        once: Callable[[Any], _T],
        *,
        size: int = 0,
        sent: int = 0,
        received: int = 0,
        again: Sequence[Verdict] = (),
    ) -> _T:
        """Return what *once* returns, which is called with obstore's store and repeated after
        faults that may pass, and after those of *again*; *received*: how many bytes it will be,
        as far as that is known. Raises Refused."""
        deadline = time.monotonic() + self.pace.patience_seconds
        was_unsure = is_refreshed = False
        attempt = 0
        while True:
            waiting.check()
            # Not later: an answer that has begun does not wait for its turn.
            with self.traffic.of(sent + received):
                self.counter.request(kind, is_repeated=attempt > 0, sent=sent)
                try:
                    result = once(self._client(kind, size))
                    self._has_answered = True
                    return result
                except _errors() as error:
                    fault = judge(error, self.backend.secrets)
            was_unsure = was_unsure or fault.verdict is Verdict.UNSURE
            attempt += 1
            if fault.verdict is Verdict.EXPIRED and not is_refreshed:
                is_refreshed = True
                self._refresh()
                continue
            self._has_answered = self._has_answered or not fault.is_unreachable
            attempts = self.pace.attempts if self._has_answered else _FIRST_ATTEMPTS
            may_pass = fault.verdict is Verdict.UNSURE or fault.verdict in again
            if not may_pass or attempt >= attempts or time.monotonic() >= deadline:
                raise Refused(fault, was_unsure)
            waiting.pause(self.pace.pause_seconds(attempt - 1))

    def _client(self, kind: Request, size: int) -> Any:
        times = self.pace.times(size, is_read=kind is not Request.PUT)
        with self._lock:
            if times not in self._clients:
                self._clients[times] = self.backend.open(times)
            return self._clients[times]

    def _refresh(self) -> None:
        with self._lock:
            self.backend.refresh()
            self._clients.clear()


def _errors() -> tuple[type[Exception], ...]:
    """Return what obstore raises; imported late, since it would slow down every start."""
    from obstore.exceptions import BaseError

    return (BaseError, FileNotFoundError, ValueError)
