"""Waiting for a request on a thread of its own."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from pgsnap.stores import waiting


class DoneAsTheWaitEnds(Future[int]):
    """Is given its result, or error, at the very end of a wait for it."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self._error = error

    def result(self, timeout: float | None = None) -> int:
        if timeout is None or self.done():
            return super().result(timeout)
        if self._error is None:
            self.set_result(7)
        else:
            self.set_exception(self._error)
        raise TimeoutError


def test_what_is_done_at_the_end_of_a_wait_is_no_time_out() -> None:
    assert waiting.result(DoneAsTheWaitEnds()) == 7
    with pytest.raises(TimeoutError, match="its own"):
        waiting.result(DoneAsTheWaitEnds(TimeoutError("its own")))
