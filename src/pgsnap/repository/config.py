"""The repository's config: what is fixed when it is created."""

from __future__ import annotations

from datetime import UTC, datetime
from shlex import quote

from pgsnap import limits
from pgsnap.errors import (
    CorruptionError,
    NotARepository,
    ObjectNotFound,
    RepositoryError,
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


def read_config(place: Place, *, alone: bool = False) -> RepositoryConfig:
    """Return the config of the repository in *place*, whose store is from now on used as that says;
    *alone*: it will be locked exclusively. Raises CorruptionError, NotARepository,
    RepositoryNotFound, StoreError, and what `refuse_folder_of_server` does."""
    mend = (
        f"Mend it: snap repair --repo {quote(str(place))}, and --from PATH where there is a copy."
    )
    store, path = place.store, place.path
    try:
        config = decode_config(store.get(layout.CONFIG, bytes_max=RECORD_BYTES_MAX))
        if alone:
            refuse_folder_of_server(place, config)
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


def refuse_folder_of_server(place: Place, config: RepositoryConfig) -> None:
    """Raise RepositoryError for a repository that was made in a folder, if *place* is on an SFTP
    server: whoever uses it there locks the folder, which by SFTP is neither seen nor done."""
    if place.path is not None or config.tag_generations:
        return
    from pgsnap.stores.one_writer import bare
    from pgsnap.stores.sftp.store import SftpStore

    if isinstance(bare(place.store), SftpStore):
        raise RepositoryError(
            f'the repository in "{place}" was made in a folder of that host',
            detail="A gc there does not see what is written by SFTP, and would delete it. Nothing"
            " was changed.",
            hint="Make one by its URL, in another folder, and use that: snap init"
            " sftp://USER@HOST/PATH",
        )
