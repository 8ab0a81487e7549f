"""Dumps of a part of a database: pg_dump's options for them, and a description of what is left
out."""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.dump.tally import Part
from pgsnap.model import Origin

WITHOUT_RIGHTS = (
    "the dump has functions and no rights at all: where it was made with pg_dump -x (--no-acl),"
    " what was taken from PUBLIC (REVOKE EXECUTE ... FROM PUBLIC) is lost, and everybody may call"
    " them"
)
"""The warning for a file that `lacks_rights`."""
_OF_FILE: Mapping[str, str] = {
    Part.DEFINITIONS: "any rows (pg_dump -s writes so)",
    Part.ROWS: "any definitions (pg_dump -a writes so)",
    Part.SOME_ROWS: "the rows of some tables (pg_dump --exclude-table-data writes so)",
    Part.SOME_TABLES: "the schemas of its tables (pg_dump -t writes so)",
}


def part_options(
    exclude_table_data: tuple[str, ...], only_schemas: tuple[str, ...]
) -> tuple[str, ...]:
    """Return pg_dump's options for a dump of a part of a database."""
    return (
        *(f"--exclude-table-data={pattern}" for pattern in exclude_table_data),
        *(f"--schema={pattern}" for pattern in only_schemas),
    )


def left_out(origin: Origin) -> str:
    """Return a description of what the dump lacks, "" if it is of the whole database."""
    words = []
    if origin.only_schemas:
        words.append(f"all schemas but {', '.join(origin.only_schemas)}")
    if origin.excluded_table_data:
        words.append(f"the rows of {', '.join(origin.excluded_table_data)}")
    if origin.part:
        # A later version may define others.
        words.append(_OF_FILE.get(origin.part, f"what belongs to a whole dump ({origin.part})"))
    return " and ".join(words)
