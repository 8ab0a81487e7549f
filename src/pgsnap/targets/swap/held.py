"""A session held open for the clean-up, when no other connection may be available."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

from pgsnap.errors import SnapError
from pgsnap.sessions.base import Session

Sessions: TypeAlias = "Callable[[], AbstractContextManager[Session]]"
"""Provides a session for a block, and handles it afterwards."""


class HeldSession:
    """One session, for the duration of the block; it is reopened if it was lost."""

    def __init__(self, connect: Callable[[], Session]) -> None:
        """Connect. Raises ConnectionFailed."""
        self._connect = connect
        self._session = connect()

    def __enter__(self) -> HeldSession:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._session.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield it outside of a transaction. Raises ConnectionFailed if it was lost and cannot be
        reopened."""
        try:
            # It may have been interrupted inside one.
            self._session.execute("ROLLBACK")
        except SnapError:
            self._session.close()
            self._session = self._connect()
        yield self._session
