"""Dumps of a part of a database: pg_dump's options for them, and what they leave out in words."""

from __future__ import annotations

from pgsnap.model import Origin


def part_options(
    exclude_table_data: tuple[str, ...], only_schemas: tuple[str, ...]
) -> tuple[str, ...]:
    """Return pg_dump's options for a dump of a part of a database."""
    return (
        *(f"--exclude-table-data={pattern}" for pattern in exclude_table_data),
        *(f"--schema={pattern}" for pattern in only_schemas),
    )


def left_out(origin: Origin) -> str:
    """Return what the dump was made without, "" where it is of the whole database."""
    words = []
    if origin.only_schemas:
        words.append(f"all schemas but {', '.join(origin.only_schemas)}")
    if origin.excluded_table_data:
        words.append(f"the rows of {', '.join(origin.excluded_table_data)}")
    return " and ".join(words)
