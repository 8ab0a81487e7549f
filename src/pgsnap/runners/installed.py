"""Where PostgreSQL's programs are installed, on this host or in a container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Below the root. Packages for several major versions have a folder for each; Alpine's, without
# "bin" at the end. Then what exists once: Bitnami's images, a server built from source, clients.
PLACES = (
    "usr/lib/postgresql/{major}/bin",
    "usr/pgsql-{major}/bin",
    "usr/libexec/postgresql{major}",
    "opt/homebrew/opt/postgresql@{major}/bin",
    "usr/local/opt/postgresql@{major}/bin",
    "Applications/Postgres.app/Contents/Versions/{major}/bin",
    "opt/bitnami/postgresql/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/libpq/bin",
    "usr/local/opt/libpq/bin",
)


def folders(root: Path, major: int | None = None) -> Iterator[Path]:
    """Yield the folders below *root* that may have the programs of *major*, by default of any
    version; those of a given version need not exist."""
    for place in PLACES:
        if major is not None:
            yield root / place.format(major=major)
        else:
            yield from sorted(root.glob(place.format(major="*")))


def patterns() -> str:
    """Return all these folders as absolute patterns for a shell."""
    return " ".join("/" + place.format(major="*") for place in PLACES)
