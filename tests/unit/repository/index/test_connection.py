"""The one connection to the index that the threads of a process share."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.repository.index.connection import IndexConnection, IndexDamaged

# Some tenths of a second: SQLite lets Python's other threads run before each row.
LONG = """
WITH RECURSIVE numbers (n) AS (SELECT began() UNION ALL SELECT n + 1 FROM numbers WHERE n < 300000)
SELECT n FROM numbers
"""


def test_it_is_not_closed_in_the_middle_of_a_query(tmp_path: Path) -> None:
    for number in range(3):
        connection = IndexConnection(tmp_path / "index.sqlite")
        found: list[object] = []
        began = threading.Event()

        def begin(began: threading.Event = began) -> int:
            began.set()
            return 1

        def look(connection: IndexConnection = connection, found: list[object] = found) -> None:
            found += connection.query(LONG)

        with connection.transaction() as inner:
            inner.create_function("began", 0, begin)

        thread = threading.Thread(target=look)
        thread.start()
        began.wait()
        time.sleep(0.02 * (number + 1))
        connection.close()
        # What it was given is there a moment after the connection is let go.
        thread.join()
        assert len(found) == 300_000
        thread.join()


def test_once_it_is_closed_it_says_so_and_leaves_the_file_in_place(tmp_path: Path) -> None:
    connection = IndexConnection(tmp_path / "index.sqlite")
    connection.close()
    with pytest.raises(StoreError, match="closed"):
        connection.query("SELECT 1")
    with pytest.raises(StoreError, match="closed"), connection.transaction():
        pass
    assert not list(tmp_path.glob("*.damaged*"))
    connection.close()


def test_a_file_that_is_no_index_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"not SQLite's" * 1000)
    path.chmod(0o600)
    with pytest.raises(IndexDamaged):
        IndexConnection(path)
    assert (tmp_path / "index.sqlite.damaged").exists()
