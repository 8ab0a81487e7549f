"""Root hashes: names of a snapshot's contents (docs/format.md, "Root hashes")."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from blake3 import blake3

from pgsnap.format.section_names import encode_name
from pgsnap.model import OUTSIDE_ROOT, Digest, Section, SectionKind

_ROOT = b"snap root 1\n"
_LEAF_ROOT = b"snap root 2\n"
_STATISTICS_ROOT = b"snap statistics root 1\n"
_LENGTH = struct.Struct("<I")
_SIZE = struct.Struct("<Q")


class Roots:
    """Hashes sections, added in their order.

    The roots cover names, sizes and digests, not how the text was cut or stored, so they are the
    same for the same dump in every repository. Sections of the kinds in OUTSIDE_ROOT have roots of
    their own: a kind that occurs once has its digest as root; statistics are in several places.
    """

    def __init__(self) -> None:
        self._root: blake3 | None = blake3(_ROOT)
        self._leaf_root: blake3 | None = blake3(_LEAF_ROOT)
        self._is_empty = True
        self._statistics = blake3(_STATISTICS_ROOT)
        self._outside: dict[SectionKind, Digest] = {}

    def add(self, section: Section) -> None:
        """Add the next section."""
        kind = section.name.kind
        if kind not in OUTSIDE_ROOT:
            self.add_hashed(hashed_parts(section))
        elif kind is SectionKind.STATISTICS:
            self._statistics.update(_hashed(section, section.any_digest))
            self._outside[kind] = self._statistics.digest()
        else:
            self._outside.setdefault(kind, section.any_digest)

    def add_hashed(self, parts: tuple[bytes | None, bytes | None]) -> None:
        """Add the `hashed_parts` of the next section that is not outside of the root."""
        # Where one section lacks the digest, there is no root of these digests.
        self._is_empty = False
        self._root = _updated(self._root, parts[0])
        self._leaf_root = _updated(self._leaf_root, parts[1])

    @property
    def root(self) -> Digest | None:
        """The root of the digests, None if a section has none."""
        return self._root.digest() if self._root is not None else None

    @property
    def leaf_root(self) -> Digest | None:
        """The root of the leaf digests, None if a section has none, or there is no section."""
        if self._leaf_root is None or self._is_empty:
            return None
        return self._leaf_root.digest()

    def outside(self, kind: SectionKind) -> Digest | None:
        """Return the root of a kind in OUTSIDE_ROOT, None if there is no such section."""
        return self._outside.get(kind)


def roots_of(sections: Iterable[Section]) -> Roots:
    """Return the roots of these *sections*."""
    roots = Roots()
    for section in sections:
        roots.add(section)
    return roots


def hashed_parts(section: Section) -> tuple[bytes | None, bytes | None]:
    """Return what the two roots cover of a section, None where it lacks the digest."""
    leaf = section.leaf_digest
    whole = _hashed(section, section.digest) if section.digest is not None else None
    if leaf is None or leaf == section.digest:
        return whole, whole if leaf is not None else None
    return whole, _hashed(section, leaf)


def _hashed(section: Section, digest: Digest) -> bytes:
    name = encode_name(section.name)
    return b"".join((_LENGTH.pack(len(name)), name, _SIZE.pack(section.plain_bytes), digest))


def _updated(hasher: blake3 | None, part: bytes | None) -> blake3 | None:
    if hasher is None or part is None:
        return None
    hasher.update(part)
    return hasher
