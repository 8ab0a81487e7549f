"""The sample application's database, a shop.

Loading it twice gives the same rows: nothing in it depends on a clock or on chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Protocol

# Rows at scale 1.0: about 100 MB of dump, in the proportions of a shop.
_ROWS = {
    "users": 50_000,
    "products": 8_000,
    "orders": 180_000,
    "events": 340_000,
    "messages": 140_000,
}
_ITEMS_OF_AN_ORDER = 3
_ROWS_MIN = 20


class SqlRunner(Protocol):
    """Runs a psql script in a database, as `Cluster` does."""

    def psql(
        self, sql: str, database: str = ..., *, variables: Mapping[str, str] | None = None
    ) -> str: ...


def load(cluster: SqlRunner, database: str, scale: float = 1.0) -> None:
    """Fill an empty database with the sample; at scale 1.0 its dump has about 100 MB.

    The roles snap_demo_… are created in the cluster if they are missing.
    """
    rows = {name: str(max(_ROWS_MIN, round(count * scale))) for name, count in _ROWS.items()}
    cluster.psql(_script("roles"), database)
    grant = 'GRANT CREATE ON DATABASE :"database" TO snap_demo_owner;'
    cluster.psql(grant, database, variables={"database": database})
    cluster.psql(_script("shop"), database, variables={**rows, "items": str(_ITEMS_OF_AN_ORDER)})
    apply_properties(cluster, database)


def apply_properties(cluster: SqlRunner, database: str) -> None:
    """Set the owner, rights and settings of *database*, which a copy by TEMPLATE lacks."""
    cluster.psql(_script("properties"), "postgres", variables={"database": database})


def bad_migration() -> str:
    """Return the migration that the demo regrets: it loses a column, rows, a table and all
    prices."""
    return _script("migration")


def _script(name: str) -> str:
    return resources.files("pgsnap.demo").joinpath("sql", f"{name}.sql").read_text("utf-8")
