"""From an address to its store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.stores.address import Address, parse
from pgsnap.stores.local import LocalStore

if TYPE_CHECKING:
    from pgsnap.stores.base import Store
    from pgsnap.stores.counting import Counter
    from pgsnap.stores.objects.requests import Backend
    from pgsnap.stores.pacing import Pace


def open_store(
    address: str | Address,
    environ: Mapping[str, str],
    *,
    trust: Trust = ONLY_OURS,
    pace: Pace | None = None,
    counter: Counter | None = None,
) -> Store:
    """Return the store at a URL or path, without asking anything of it yet. Credentials are those
    of *environ* and of files; *counter* counts requests. Raises UsageError, StoreError."""
    found = parse(address) if isinstance(address, str) else address
    if found.scheme == "file":
        return LocalStore(Path(found.path), trust)
    # Imported here: most repositories are folders.
    if found.scheme == "sftp":
        from pgsnap.stores.sftp.store import SftpStore

        return SftpStore(found, pace, counter)
    from pgsnap.stores.objects.store import ObjectStore

    return ObjectStore(_backend(found, environ), pace, counter)


def _backend(address: Address, environ: Mapping[str, str]) -> Backend:
    # Importing those that are not used takes longer than some commands do.
    if address.scheme == "s3":
        from pgsnap.stores.objects.s3 import S3

        return S3(address, environ)
    if address.scheme == "gs":
        from pgsnap.stores.objects.gcs import Gcs

        return Gcs(address, environ)
    from pgsnap.stores.objects.azure import Azure

    return Azure(address, environ)
