"""The head of a section of rows: the COPY statement, rewritten for a table of another name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pgsnap.dump.definitions.table_parts import TableName, quoted, with_names
from pgsnap.dump.entries import copied_table, decode, encode
from pgsnap.errors import CorruptionError
from pgsnap.model import DumpEvent, SectionName, SectionStart


def with_heads(
    events: Iterable[DumpEvent],
    head_of: Callable[[SectionName], tuple[int, Callable[[bytes], bytes]] | None],
) -> Iterator[DumpEvent]:
    """Yield *events* with the heads of some sections of rows replaced: *head_of* returns how many
    bytes precede the rows and a function that makes the new head from them; None to keep it."""
    wanted: tuple[int, Callable[[bytes], bytes]] | None = None
    head = b""
    for event in events:
        if isinstance(event, SectionStart):
            wanted, head = head_of(event.name), b""
        elif isinstance(event, bytes) and wanted is not None:
            head += event
            size, changed = wanted
            if len(head) >= size:
                wanted = None
                yield changed(head[:size])
                if len(head) > size:
                    yield head[size:]
            continue
        yield event


def copy_into(
    head: bytes, copied: TableName, names: Mapping[TableName, TableName], encoding: str
) -> bytes:
    """Return only the COPY statement of a *head*, on a line of its own, with *names* instead of the
    dump's. Raises CorruptionError if it is not a COPY of the table *copied*."""
    _, copy, rest = head.rpartition(b"\nCOPY ")
    statement = copy[1:] + rest
    if not copy or copied_table(statement, encoding) != copied:
        raise CorruptionError(
            f"the rows of {quoted(copied)} do not begin with their COPY statement",
            hint="Look for damage: snap verify --data",
        )
    return b"\n" + encode(with_names(decode(statement, encoding), names), encoding)
