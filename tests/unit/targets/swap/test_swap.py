from __future__ import annotations

from pgsnap.targets.swap.swap import Rename, swap_message


def test_the_swap_is_one_transaction_in_one_message() -> None:
    renames = [Rename(7, "a'p", "kept"), Rename(8, "scratch", "a'p")]
    parts = swap_message(renames, ["COMMENT ON DATABASE x IS NULL"]).split("; ")
    assert (parts[0], parts[-1]) == ("BEGIN", "COMMIT")
    assert parts[3:5] == [
        'ALTER DATABASE "a\'p" RENAME TO "kept"',
        'ALTER DATABASE "scratch" RENAME TO "a\'p"',
    ]
    assert "oid = 7 AND datname = 'kept'" in parts[5]
    assert "oid = 8 AND datname = 'a''p'" in parts[6]
    assert parts[7] == "COMMENT ON DATABASE x IS NULL"


def test_the_swap_never_closes_a_database_to_connections() -> None:
    assert "ALLOW_CONNECTIONS" not in swap_message([Rename(7, "a", "b")], [])


def test_the_commit_of_a_swap_waits_for_the_wal_of_the_whole_load() -> None:
    assert "SET LOCAL synchronous_commit = on" in swap_message([Rename(7, "a", "b")], [])
