"""The repository's config: what is fixed when it is created."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pgsnap import limits
from pgsnap.errors import (
    CorruptionError,
    NotARepository,
    ObjectNotFound,
    RepositoryNotFound,
    StoreError,
)
from pgsnap.format.small import decode_config
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import ChunkerParams, RepositoryConfig
from pgsnap.repository import layout
from pgsnap.stores.local import LocalStore


def new_config(repository_id: str) -> RepositoryConfig:
    """Return the config of a new repository."""
    return RepositoryConfig(
        repository_id=repository_id,
        created=datetime.now(UTC),
        chunker=ChunkerParams(
            limits.CHUNK_BYTES_MIN, limits.CHUNK_BYTES_AVG, limits.CHUNK_BYTES_MAX
        ),
        pack_bytes=limits.PACK_BYTES,
        zstd_level=limits.ZSTD_LEVEL,
    )


def read_config(path: Path, store: LocalStore) -> RepositoryConfig:
    """Return the config of the repository in *path*. Raises CorruptionError, NotARepository,
    RepositoryNotFound, StoreError."""
    mend = f"Mend it: snap repair --repo {path}, and --from PATH where there is a copy."
    try:
        return decode_config(store.get(layout.CONFIG, bytes_max=RECORD_BYTES_MAX))
    except CorruptionError as error:
        error.hint = mend
        raise
    except ObjectNotFound:
        if any(store.list(layout.SNAPSHOTS)) or any(store.list(layout.PACKS)):
            raise NotARepository(
                f'"{path}" has no config',
                detail="It holds packs or snapshots of a repository.",
                hint=mend,
            ) from None
        if path.is_dir() and any(path.iterdir()):
            raise NotARepository(
                f'"{path}" is not a repository',
                detail="The folder is not empty, and it has no config.",
                hint="Name the repository with --repo PATH, or make one: snap init PATH",
            ) from None
        raise RepositoryNotFound(
            f'there is no repository in "{path}"',
            hint=f"Make one: snap init {path}",
        ) from None
    except StoreError as error:
        if path.exists() and not path.is_dir():
            raise NotARepository(
                f'"{path}" is not a repository',
                detail="It is a file.",
                hint="Name the repository's folder with --repo PATH",
            ) from None
        raise error
