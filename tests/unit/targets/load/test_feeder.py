from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from pgsnap.errors import CorruptionError, RestoreFailed
from pgsnap.model import SectionKind, SectionName, SectionStart
from pgsnap.targets.load.feeder import Expected, Feeder, check_counts

ORDERS = SectionName(SectionKind.DATA, "public", "orders")


class FakePsql:
    """A psql that takes everything, and answers the sentinel if it is a faithful one."""

    def __init__(
        self, *, tags: bytes = b"", faithful: bool = True, status: int = 0, dies_after: int = -1
    ) -> None:
        self.taken = b""
        self.end_of_file = False
        self.killed = False
        self._tags = tags
        self._faithful = faithful
        self._status = status
        self._dies_after = dies_after
        self._done = threading.Event()
        self._out = b""

    def write(self, data: bytes | memoryview) -> None:
        if 0 <= self._dies_after <= len(self.taken):
            self._done.set()
            raise BrokenPipeError
        self.taken += bytes(data)

    def close_input(self) -> None:
        self.end_of_file = True
        asked = re.search(rb"SELECT '(\w+)' \|\| '(\w+)';\n\Z", self.taken)
        answer = asked.group(1) + asked.group(2) + b"\n" if asked and self._faithful else b""
        self._out = self._tags + answer
        self._done.set()

    def read(self, size: int) -> bytes:
        self._done.wait()
        piece, self._out = self._out[:3], self._out[3:]
        return piece

    def wait(self, timeout: float | None = None) -> int:
        return self._status

    def poll(self) -> int | None:
        return self._status if self._done.is_set() else None

    def stop(self) -> None:
        self.kill()

    def kill(self) -> None:
        self.killed = True
        self._done.set()

    def stderr_text(self) -> str:
        return "psql:<stdin>:7: ERROR:  42P01: no table\n" if self._status == 3 else ""


def feed(psql: FakePsql, *, rows: int | None = 2, key: str | None = "k3y") -> int:
    expected = None if rows is None else [Expected(ORDERS, rows)]
    feeder = Feeder(psql, restrict_key=key, expected=expected)
    return feeder.run([SectionStart(ORDERS), b"COPY orders FROM stdin;\n", b"1\n2\n\\.\n"]).rows


def test_a_load_counts_rows_as_the_server_did() -> None:
    assert feed(FakePsql(tags=b"SET\n\nCOPY 2\n")) == 2


def test_the_stream_is_wrapped_so_that_psql_refuses_commands_in_it() -> None:
    psql = FakePsql(tags=b"COPY 2\n")
    feed(psql)
    before, _, after = psql.taken.partition(b"COPY orders")
    assert before.endswith(b"\\restrict k3y\n")
    assert b"\n\\unrestrict k3y\n" in after
    bare = FakePsql(tags=b"COPY 2\n")
    feed(bare, key=None)
    assert b"restrict" not in bare.taken


def test_status_0_without_the_sentinel_is_no_success() -> None:
    with pytest.raises(RestoreFailed, match="to its end"):
        feed(FakePsql(tags=b"COPY 2\n", faithful=False))


def test_the_sentinel_with_another_status_is_no_success() -> None:
    with pytest.raises(RestoreFailed, match="no table"):
        feed(FakePsql(tags=b"COPY 2\n", status=3))


def test_a_row_count_that_differs_is_no_success() -> None:
    with pytest.raises(RestoreFailed, match="took 1 rows of 2 in data"):
        feed(FakePsql(tags=b"COPY 1\n"))


@pytest.mark.parametrize("counts", [[], [2, 2]])
def test_a_table_too_few_or_too_many_is_no_success(counts: list[int]) -> None:
    with pytest.raises(RestoreFailed, match="tables of 1"):
        check_counts([Expected(ORDERS, 2)], counts)


def test_other_sql_may_copy_more_and_other_rows_but_never_less_often() -> None:
    def load(tags: bytes) -> int:
        feeder = Feeder(
            FakePsql(tags=tags), restrict_key=None, expected=[Expected(ORDERS, 2)], exact=False
        )
        return feeder.run([b"COPY orders FROM stdin;\n1\n2\n\\.\n"]).rows

    assert load(b"COPY 1\nCOPY 4\n") == 5
    with pytest.raises(RestoreFailed, match="0 COPY statements of 1"):
        load(b"INSERT 0 1\n")


def test_damage_in_mid_stream_kills_psql_and_never_gives_it_end_of_file() -> None:
    psql = FakePsql()

    def blocks() -> Iterator[bytes]:
        yield b"1\n"
        raise CorruptionError("damaged")

    with pytest.raises(CorruptionError):
        Feeder(psql, restrict_key=None, expected=None).run(blocks())
    assert psql.killed
    assert not psql.end_of_file


def test_a_psql_that_ends_early_is_told_with_its_first_error() -> None:
    psql = FakePsql(dies_after=0, status=3)
    with pytest.raises(RestoreFailed, match="no table"):
        feed(psql)
    assert psql.killed
    assert not psql.end_of_file


def test_a_psql_that_waits_for_us_while_we_wait_for_it_fails_the_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pgsnap.targets.load.feeder._STUCK_POLL_SECONDS", 0.05)
    psql = FakePsql()
    feeder = Feeder(psql, restrict_key=None, expected=None)
    asked: list[bool] = []

    def is_idle() -> bool:
        asked.append(len(asked) == 2)
        return asked[-1]

    def blocks() -> Iterator[bytes]:
        yield b"CREATE FUNCTION f() ...;\n"
        feeder.settle(is_idle)

    with pytest.raises(RestoreFailed, match="one statement"):
        feeder.run(blocks())
    assert asked == [False, False, True]
    assert psql.killed
    assert not psql.end_of_file
