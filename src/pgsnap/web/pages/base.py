"""What a page is asked for, and what it answers: a template and the data that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pgsnap.dump.definitions.table_parts import TableName, parse_name
from pgsnap.errors import SnapError
from pgsnap.model import SnapshotId
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass

_ID = regex("[0-9a-f]{64}")


class PageNotFound(SnapError):
    """There is nothing at this address."""

    kind = "no-such-page"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page: the open repository, the present time, and the *values* of the query.
    *acts*: whether there are actions to link to; in a report and with --read-only there are
    none."""

    repo: Repository
    now: datetime
    values: Mapping[str, str]
    acts: bool = False

    def value(self, name: str) -> str:
        """Return a value of the query, "" if there is none."""
        return self.values.get(name, "")

    def number(self, name: str, default: int) -> int:
        """Return a value of the query as a number from 0, *default* if it is none."""
        text = self.values.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default

    def snapshot(self, name: str) -> SnapshotId:
        """Return the snapshot whose id is a value of the query. Raises PageNotFound."""
        text = self.values.get(name, "")
        if not _ID.fullmatch(text):
            raise PageNotFound(f'"{name}" is no id of a snapshot')
        return bytes.fromhex(text)

    def snapshot_or_none(self, name: str) -> SnapshotId | None:
        """Return what `snapshot` does, None if there is no such value."""
        return self.snapshot(name) if self.values.get(name) else None

    def table(self, name: str) -> TableName:
        """Return the table that a value of the query names as SQL does. Raises PageNotFound."""
        found = parse_name(self.values.get(name, ""))
        if found is None:
            raise PageNotFound(f'"{name}" is no name of a table')
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown: the *template* gets *data* as ``page``, *title* as ``title``. *nav* is the
    part of the navigation that it belongs to."""

    template: str
    title: str
    data: object
    nav: str = ""
