"""The values of extensions' sequences, as text that psql and snap understand: the section
``extension-sequences`` (docs/format.md, "Section kinds")."""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.dump.entries import encode
from pgsnap.model import quote_ident
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class SequenceValue:
    """A sequence, its last value, and whether that was already returned by nextval."""

    schema: str
    name: str
    value: int
    is_called: bool


def sequences_text(sequences: Iterable[SequenceValue], encoding: str) -> bytes:
    """Return the text of the section for *sequences*, in the form of pg_dump's own entries."""
    return b"".join(encode(_entry(sequence), encoding) for sequence in sequences)


def _entry(sequence: SequenceValue) -> str:
    # As in pg_dump, line ends in a header are replaced by spaces.
    name, schema = (" ".join(part.splitlines()) for part in (sequence.name, sequence.schema))
    quoted = f"{quote_ident(sequence.schema)}.{quote_ident(sequence.name)}".replace("'", "''")
    return (
        f"--\n-- Name: {name}; Type: SEQUENCE SET; Schema: {schema}; Owner: -\n--\n\n"
        f"SELECT pg_catalog.setval('{quoted}', {sequence.value},"
        f" {'true' if sequence.is_called else 'false'});\n\n\n"
    )
