"""The names of a remote store's objects as the index knows them, and up to which entry of its log.

Derived: a listing of the store replaces all of it but the entries of the log, which are what this
host saw there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgsnap.repository.index.index import Index
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """An entry of the log, the newest that is taken into account: its *number*, 0 if there is none,
    and its *id*, b"" if that is not known."""

    number: int
    id: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log that was read."""

    position: Position
    data: bytes


class Listing:
    """The listing in an *index*. Every change is one transaction: other processes of this user have
    the same index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def position(self) -> Position | None:
        """Return the newest entry that is taken into account, None if nothing was listed yet."""
        rows = self._index.query("SELECT number, id FROM last_listing")
        return Position(*rows[0]) if rows else None

    def listed_at(self) -> int:
        """Return when the store was last listed, in µs, 0 if it never was."""
        rows = self._index.query("SELECT time_us FROM last_listing")
        return int(rows[0][0]) if rows else 0

    def names(self, prefix: str) -> list[str]:
        """Return the names that begin with *prefix*."""
        # "/" is followed by "0".
        end = prefix[:-1] + "0"
        return [
            row[0]
            for row in self._index.query(
                "SELECT name FROM listed WHERE name >= ? AND name < ?", (prefix, end)
            )
        ]

    def contents(self, prefix: str) -> dict[str, bytes]:
        """Return the contents that are known of objects whose names begin with *prefix*."""
        return dict(
            self._index.query(
                "SELECT name, data FROM listed WHERE name >= ? AND name < ? AND data IS NOT NULL",
                (prefix, prefix[:-1] + "0"),
            )
        )

    def keep(self, contents: Iterable[tuple[str, bytes]]) -> None:
        """Keep the contents of listed objects."""
        with self._index.transaction() as connection:
            connection.executemany(
                "UPDATE listed SET data = ? WHERE name = ?",
                [(data, name) for name, data in contents],
            )

    def has(self, name: str) -> bool:
        return bool(self._index.query("SELECT 1 FROM listed WHERE name = ?", (name,)))

    def replace(self, names: Iterable[str], position: Position, time_us: int) -> None:
        """Replace all by the *names* that the store has. What this host wrote and no entry of the
        log has yet stays: another process of it may have written it after the store was listed."""
        found = set(names)
        with self._index.transaction() as connection:
            known = connection.execute("SELECT name, is_logged FROM listed").fetchall()
            connection.executemany(
                "DELETE FROM listed WHERE name = ?",
                [(name,) for name, is_logged in known if is_logged and name not in found],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO listed VALUES (?, 1, NULL)",
                [(name,) for name in sorted(found - {name for name, _ in known})],
            )
            connection.execute("DELETE FROM last_listing")
            connection.execute(
                "INSERT INTO last_listing VALUES (?, ?, ?)", (time_us, position.number, position.id)
            )

    def add(self, names: Iterable[str], entries: Sequence[Entry]) -> None:
        """Add *names* that *entries* of the log have, and go on to the last of these."""
        with self._index.transaction() as connection:
            connection.executemany(
                "INSERT INTO listed VALUES (?, 1, NULL)"
                " ON CONFLICT (name) DO UPDATE SET is_logged = 1",
                [(name,) for name in names],
            )
            for entry in entries:
                # What was seen first stays: a store that was put back has others of these numbers.
                connection.execute(
                    "INSERT OR IGNORE INTO publications VALUES (?, ?, ?)",
                    (entry.position.number, entry.position.id, entry.data),
                )
                # Another process may have gone further, or listed the store and be behind.
                number = entry.position.number
                connection.execute(
                    "UPDATE last_listing SET number = ?, id = ? WHERE number = ?",
                    (number, entry.position.id, number - 1),
                )

    def add_own(self, name: str, data: bytes | None) -> None:
        """Add an object that this host wrote, and that no entry of the log has yet."""
        with self._index.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO listed VALUES (?, 0, ?)", (name, data))

    def unlogged(self, limit: int) -> list[str]:
        """Return up to *limit* objects of this host that no entry of the log has."""
        rows = self._index.query("SELECT name FROM listed WHERE is_logged = 0 LIMIT ?", (limit,))
        return [row[0] for row in rows]

    def drop(self, names: Iterable[str]) -> None:
        """Drop objects that are not there any more."""
        with self._index.transaction() as connection:
            connection.executemany("DELETE FROM listed WHERE name = ?", [(name,) for name in names])

    # -- the log --------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Return the entries that were read, oldest first."""
        rows = self._index.query("SELECT number, id, data FROM publications ORDER BY number")
        return [Entry(Position(number, name), data) for number, name, data in rows]

    def keep_entries(self, entries: Iterable[Entry]) -> None:
        """Keep entries that were read, without going on to them."""
        with self._index.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO publications VALUES (?, ?, ?)",
                [(one.position.number, one.position.id, one.data) for one in entries],
            )

    def forget_entries(self, before: int | None = None) -> None:
        """Forget the entries before a number; None: all."""
        with self._index.transaction() as connection:
            connection.execute(
                "DELETE FROM publications WHERE ? IS NULL OR number < ?", (before, before)
            )
