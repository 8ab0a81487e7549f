"""How a repository names, cuts and seals what it stores: in the clear, or with its keys."""

from __future__ import annotations

from pgsnap.model import PLAIN_NAMES, ChunkerKeys, Naming
from pgsnap.sealing.keys import Keys
from pgsnap.sealing.packs import PackSealer
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Scheme:
    """What depends on whether a repository is encrypted.

    *naming* gives chunks, snapshots and notes their ids; *piece_naming* decides where pieces of a
    section table end, *chunker* where chunks do; *packs* seals and opens packs.
    """

    naming: Naming = PLAIN_NAMES
    piece_naming: Naming = PLAIN_NAMES
    chunker: ChunkerKeys | None = None
    packs: PackSealer | None = None


PLAIN = Scheme()
"""That of a repository that is not encrypted."""


def scheme_of(keys: Keys | None) -> Scheme:
    """Return the scheme of the repository with these *keys*, None if it is not encrypted."""
    if keys is None:
        return PLAIN
    return Scheme(
        Naming(keys.ids),
        Naming(keys.cuts),
        ChunkerKeys(keys.cuts, keys.sketches),
        PackSealer(keys),
    )
