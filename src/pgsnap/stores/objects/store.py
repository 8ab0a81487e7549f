"""A bucket or container of an object store as a store, by obstore's synchronous calls.

A conditional write that is refused at the first attempt is refused; after an attempt whose answer
was lost the object is read and compared. A 404 is believed only where the repository is known to be
there, since a missing bucket gives the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from pgsnap.errors import CorruptionError, ObjectExists, ObjectNotFound, StoreChanged, StoreError
from pgsnap.limits import PACK_BYTES
from pgsnap.stores import waiting
from pgsnap.stores.base import Data, ObjectInfo
from pgsnap.stores.counting import Counter, Counts, Request
from pgsnap.stores.names import checked
from pgsnap.stores.objects.faults import Verdict
from pgsnap.stores.objects.requests import Backend, Refused, Requests
from pgsnap.stores.pacing import Pace

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

    _Pages: TypeAlias = Iterator[Sequence[ObjectMeta]]

SENTINEL = "config"
"""The object that every repository has: while it is there, so are the bucket and the prefix."""

_DELETES_AT_ONCE = 8
# For the time-out of a read of unknown size: a pack.
_LIKELY_BYTES = PACK_BYTES
_PAGE = 1000


class ObjectStore:
    """See `Store`. Calls may come from many threads; a signal ends the wait, and leaves the request
    behind."""

    def __init__(
        self, backend: Backend, pace: Pace | None = None, counter: Counter | None = None
    ) -> None:
        self.backend = backend
        pace = Pace() if pace is None else pace
        self._requests = Requests(backend, pace, Counter() if counter is None else counter)
        self._pace = pace
        # Whether the sentinel was there once: then it does not vanish by itself.
        self._seen = False

    def counts(self) -> Counts:
        """Return what was asked of the store so far."""
        return self._requests.counter.counts()

    # -- writing ------------------------------------------------------------------------------

    def put(self, name: str, data: Data) -> None:
        checked(name)
        body = data if isinstance(data, bytes) else b"".join(data)
        self._requests.wait(lambda: self._put(name, body, "overwrite"), f'write "{name}"')

    def create(self, name: str, data: bytes) -> None:
        checked(name)
        self._requests.wait(lambda: self._create(name, data), f'write "{name}"')

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        checked(name)

        def change() -> None:
            if expected is not None:
                self._swap(name, data, expected)
            elif data is not None:
                try:
                    self._create(name, data)
                except ObjectExists:
                    raise _changed(name) from None
            elif self._look(name) is not None:
                raise _changed(name)

        self._requests.wait(change, f'write "{name}"')

    def delete(self, *names: str) -> None:
        for name in names:
            checked(name)
        self._requests.wait(lambda: self._delete_all(names), "delete objects")

    def settle(self, names: Iterable[str]) -> None:
        """Do nothing: what an object store has acknowledged is durable."""

    def _put(self, name: str, body: bytes, mode: Any) -> None:
        def once(client: Any) -> None:
            client.put(name, body, mode=mode, use_multipart=False)

        again = (Verdict.CONFLICT,) if mode == "overwrite" else ()
        try:
            self._requests.run(Request.PUT, once, size=len(body), sent=len(body), again=again)
        except Refused as refused:
            if refused.fault.verdict is Verdict.ABSENT and mode == "overwrite":
                self._check_bucket()
            raise

    def _create(self, name: str, body: bytes) -> None:
        def is_done(was_unsure: bool) -> bool:
            found = self._look(name, len(body))
            if found is None:
                # Another write of it was under way, and failed.
                return False
            if was_unsure and found[1] == body:
                return True
            raise ObjectExists(f'"{name}" exists already')

        self._decided(lambda: self._put(name, body, "create"), is_done)

    def _swap(self, name: str, body: bytes | None, expected: bytes) -> None:
        found = self._look(name)

        def is_done(was_unsure: bool) -> bool:
            nonlocal found
            found = self._look(name)
            if was_unsure and (None if found is None else found[1]) == body:
                return True
            if found is None or found[1] != expected:
                raise _changed(name)
            return False

        def write() -> None:
            assert found is not None
            if body is None:
                self._delete_version(name, found[0])
            else:
                self._put(name, body, self.backend.version(found[0]))

        if found is None or found[1] != expected:
            raise _changed(name)
        self._decided(write, is_done)

    def _decided(self, write: Callable[[], None], is_done: Callable[[bool], bool]) -> None:
        """Carry out a conditional write. *is_done* reads the object after a refusal and is called
        with whether the write may have taken effect; it raises if it never will."""
        was_unsure = False
        for attempt in range(self._pace.attempts):
            try:
                return write()
            except Refused as refused:
                was_unsure = was_unsure or refused.was_unsure
                is_open = refused.fault.verdict in (Verdict.CONFLICT, Verdict.ABSENT)
                if not (is_open or was_unsure or refused.fault.verdict is Verdict.RETAINED):
                    raise
                if is_done(was_unsure):
                    return None
                if not is_open or attempt + 1 == self._pace.attempts:
                    raise
            waiting.pause(self._pace.pause_seconds(attempt))
        return None

    def _delete_version(self, name: str, meta: ObjectMeta) -> None:
        times = self._pace.times(0, is_read=True)
        self._requests.run(Request.DELETE, lambda _: self.backend.delete(name, meta, times))

    def _delete_all(self, names: Sequence[str]) -> None:
        if len(names) < 2:
            for name in names:
                self._delete(name)
            return
        deletes = [
            waiting.passed_on(partial(waiting.waited_for, partial(self._delete, name)))
            for name in names
        ]
        with ThreadPoolExecutor(_DELETES_AT_ONCE, thread_name_prefix="snap-delete") as pool:
            futures = [pool.submit(delete) for delete in deletes]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _delete(self, name: str) -> None:
        try:
            self._requests.run(Request.DELETE, lambda client: client.delete(name))
        except Refused as refused:
            if refused.fault.verdict is not Verdict.ABSENT:
                raise
            self._check_bucket()

    def version(self, name: str) -> ObjectMeta:
        """Return what identifies the current version of an object. Raises ObjectNotFound."""
        found = self._requests.wait(lambda: self._look(checked(name)), f'read "{name}"')
        if found is None:
            raise _missing(name)
        return found[0]

    def write_version(self, name: str, data: bytes | None, meta: ObjectMeta) -> bool:
        """Write or delete an object on condition that it is the version *meta*, without a look at
        it before; return whether the store did."""

        def write() -> bool:
            try:
                if data is None:
                    self._delete_version(name, meta)
                else:
                    self._put(name, data, self.backend.version(meta))
            except Refused as refused:
                if refused.fault.verdict not in (Verdict.CONFLICT, Verdict.ABSENT):
                    raise
                return False
            return True

        return self._requests.wait(write, f'write "{name}"')

    # -- reading ------------------------------------------------------------------------------

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        checked(name)
        found = self._requests.wait(
            lambda: self._get(name, start, length, bytes_max), f'read "{name}"'
        )
        if found is None:
            raise _missing(name)
        return found

    def _get(
        self, name: str, start: int, length: int | None, bytes_max: int | None
    ) -> bytes | None:
        if length == 0:
            return None if self._size(name) is None else b""
        options: GetOptions = {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        likely = length or bytes_max or _LIKELY_BYTES
        try:
            found = self._read(name, options, likely, bytes_max)
        except Refused as refused:
            if refused.fault.verdict is Verdict.ABSENT:
                self._believe(name)
                return None
            if refused.fault.verdict is not Verdict.BEYOND:
                raise
            size = self._size(name)
            if size is None or (start == size and length is None):
                return None if size is None else b""
            raise _short(name, size) from None
        meta, data = found
        wanted = meta["size"] - start if length is None else length
        if len(data) != wanted:
            raise _short(name, start + len(data))
        return data

    def _look(self, name: str, likely: int = 0) -> tuple[ObjectMeta, bytes] | None:
        """Return an object with what identifies its version; it has about *likely* bytes."""
        try:
            return self._read(name, {}, likely, None)
        except Refused as refused:
            if refused.fault.verdict is not Verdict.ABSENT:
                raise
        self._believe(name)
        return None

    def _read(
        self, name: str, options: GetOptions, likely: int, bytes_max: int | None
    ) -> tuple[ObjectMeta, bytes]:
        span = options.get("range")
        expected = span[1] - span[0] if isinstance(span, tuple) else 0

        def once(client: Any) -> tuple[ObjectMeta, bytes]:
            result = client.get(name, options=options)
            meta: ObjectMeta = result.meta
            if bytes_max is not None and meta["size"] > bytes_max:
                raise CorruptionError(
                    f'"{name}" is damaged',
                    detail=f"It has {meta['size']} bytes; none of its kind has more than"
                    f" {bytes_max}.",
                )
            first, end = result.range
            with self._requests.traffic.held(0 if expected else end - first):
                data = bytes(result.bytes())
            self._requests.counter.received(len(data))
            self._requests.traffic.passed(len(data) - expected)
            if len(data) != end - first:
                raise CorruptionError(
                    f'"{name}" arrived cut short',
                    detail=f"{len(data)} bytes came instead of {end - first}.",
                )
            return meta, data

        return self._requests.run(Request.GET, once, size=likely, received=expected)

    def _size(self, name: str) -> int | None:
        # Not by HEAD, whose answers have no body that says what is wrong.
        try:
            return self._read(name, {"range": (0, 1)}, 0, None)[0]["size"]
        except Refused as refused:
            if refused.fault.verdict is Verdict.BEYOND:
                return 0
            if refused.fault.verdict is not Verdict.ABSENT:
                raise
        self._believe(name)
        return None

    def many_reads(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _believe(self, name: str) -> None:
        """Raise StoreError unless that *name* is missing can be believed: while the sentinel is
        there, or, where there never was one, if a listing lacks the object too."""
        if name != SENTINEL or self._seen:
            try:
                self._read(SENTINEL, {}, 0, None)
            except Refused as refused:
                if refused.fault.verdict is not Verdict.ABSENT:
                    raise
                if self._seen:
                    raise StoreError(
                        f"the repository in {self.backend.place} has vanished",
                        detail=f'It had an object "{SENTINEL}" a moment ago.',
                    ) from None
            else:
                self._seen = True
                return
        self._check_bucket()

    def _check_bucket(self) -> None:
        """Raise if the bucket itself is missing."""
        try:
            self._requests.run(Request.LIST, lambda client: next(iter(client.list(SENTINEL)), None))
        except Refused as refused:
            if refused.fault.verdict is not Verdict.ABSENT:
                raise
            raise StoreError(
                f"there is no {self.backend.place}",
                detail=refused.fault.words,
                hint="Make it with your provider, or correct the URL.",
            ) from None

    # -- listing ------------------------------------------------------------------------------

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        folder = checked(prefix.removesuffix("/"))
        last, is_sorted = after, True
        rest: _Pages | None = None
        while True:
            # After a fault a listing goes on behind the last name, which takes one in order.
            behind = last if is_sorted else None
            page, rest = self._requests.wait(
                partial(self._page, folder, behind, rest), f'list "{folder}/"'
            )
            if not page:
                return
            names = [meta["path"] for meta in page]
            is_sorted = is_sorted and names == sorted(names) and names[0] > last
            last = names[-1]
            for meta in page:
                # The folder itself, as consoles create it, is no object of ours. And some servers
                # pay no attention to what a listing is to begin after.
                if meta["path"].startswith(f"{folder}/") and meta["path"] > after:
                    yield ObjectInfo(meta["path"], meta["size"])

    def _page(
        self, folder: str, behind: str | None, rest: _Pages | None
    ) -> tuple[Sequence[ObjectMeta], _Pages]:
        """Return the next page of a listing, empty at its end, and what gives those after it."""
        pages = rest

        def once(client: Any) -> tuple[Sequence[ObjectMeta], _Pages]:
            nonlocal pages
            current, pages = pages, None
            if current is None:
                if behind is None:
                    raise StoreError(
                        f'the list of "{folder}/" broke off, and cannot be continued',
                        detail=f"{self.backend.place} lists in no order.",
                        hint="Run the command again.",
                    )
                current = client.list(folder, offset=behind or None, chunk_size=_PAGE)
            return next(current, ()), current

        return self._requests.run(Request.LIST, once)


def _missing(name: str) -> ObjectNotFound:
    return ObjectNotFound(f'"{name}" is not in the repository')


def _changed(name: str) -> StoreChanged:
    return StoreChanged(f'"{name}" was changed by another process')


def _short(name: str, end: int) -> CorruptionError:
    return CorruptionError(f'"{name}" is cut short', detail=f"It ends before offset {end}.")
