"""The repository's config: what is fixed when it is created."""

from __future__ import annotations

from datetime import UTC, datetime
from shlex import quote

from pgsnap import limits
from pgsnap.errors import (
    CorruptionError,
    NotARepository,
    ObjectNotFound,
    StoreError,
)
from pgsnap.format.small import decode_config
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import ChunkerParams, RepositoryConfig
from pgsnap.repository import layout
from pgsnap.repository.places.base import Place


def new_config(
    repository_id: str, place: Place, *, pack_bytes: int = limits.PACK_BYTES
) -> RepositoryConfig:
    """Return the config of a new repository in *place*. Raises StoreError if its store cannot be
    relied on."""
    return RepositoryConfig(
        repository_id=repository_id,
        created=datetime.now(UTC),
        chunker=ChunkerParams(
            limits.CHUNK_BYTES_MIN, limits.CHUNK_BYTES_AVG, limits.CHUNK_BYTES_MAX
        ),
        pack_bytes=pack_bytes,
        zstd_level=limits.ZSTD_LEVEL,
        tag_generations=place.path is None,
        one_writer=place.takes_one_writer(),
    )


def read_config(place: Place) -> RepositoryConfig:
    """Return the config of the repository in *place*, whose store is from now on used as that says.
    Raises CorruptionError, NotARepository, RepositoryNotFound, StoreError."""
    mend = (
        f"Mend it: snap repair --repo {quote(str(place))}, and --from PATH where there is a copy."
    )
    store, path = place.store, place.path
    try:
        config = decode_config(store.get(layout.CONFIG, bytes_max=RECORD_BYTES_MAX))
        if config.one_writer:
            place.take_turns()
        return config
    except CorruptionError as error:
        error.hint = mend
        raise
    except ObjectNotFound:
        if any(store.list(layout.SNAPSHOTS)) or any(store.list(layout.PACKS)):
            raise NotARepository(
                f'"{place}" has no config',
                detail="It holds packs or snapshots of a repository.",
                hint=mend,
            ) from None
        raise place.why_no_config() from None
    except StoreError as error:
        if path is not None and path.exists() and not path.is_dir():
            raise NotARepository(
                f'"{path}" is not a repository',
                detail="It is a file.",
                hint="Name the repository's folder with --repo PATH",
            ) from None
        raise error
