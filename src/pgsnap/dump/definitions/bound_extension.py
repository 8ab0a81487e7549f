"""Extensions that can be created in only one database of a server, and their part of a dump."""

from __future__ import annotations

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class BoundExtension:
    """An extension bound to one database: *setting* is the server's setting that names that; its
    objects are in *schema*. *tables* and *sequences* are those whose contents are in a dump."""

    name: str
    setting: str
    schema: str
    tables: tuple[TableName, ...]
    sequences: tuple[TableName, ...]

    def owns(self, type_name: str, schema: str, name: str) -> bool:
        """Return whether an entry of a dump, given its header, belongs to the extension."""
        match type_name:
            case "EXTENSION":
                return name == self.name
            case "COMMENT":
                return name == f"EXTENSION {self.name}"
            case "TABLE DATA":
                return (schema, name) in self.tables
            case "SEQUENCE SET":
                return (schema, name) in self.sequences
            case "ACL" | "DEFAULT ACL":
                return schema == self.schema or name == f"SCHEMA {self.schema}"
        return False


BOUND = {
    "pg_cron": BoundExtension(
        name="pg_cron",
        setting="cron.database_name",
        schema="cron",
        tables=(("cron", "job"), ("cron", "job_run_details")),
        sequences=(("cron", "jobid_seq"), ("cron", "runid_seq")),
    )
}
