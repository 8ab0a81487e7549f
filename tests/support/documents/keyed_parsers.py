"""Parsers of stored bytes that a remote or encrypted repository has, and inputs for them.

What is sealed is changed from the outside, as anybody can who may write to the store, and inside,
as only those can who have the key: a host that was broken into.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from pgsnap.codecs.zstd import compress, decompress, decompress_chain
from pgsnap.errors import CorruptionError
from pgsnap.format.copies import copied_manifest, copied_node, copied_piece
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD, ObjectKind, wrap
from pgsnap.format.manifest import decode_head, decode_indexed, decode_manifest, snapshot_id
from pgsnap.format.remote import decode_announcement, decode_gone_tag
from pgsnap.format.sections import decode_roots, piece_chunks
from pgsnap.format.small import decode_config, decode_note, decode_tag, usual_tag
from pgsnap.model import PLAIN_NAMES, Codec, Naming
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.places.lease import lease_since
from pgsnap.repository.sealed.store import SealedStore
from pgsnap.sealing.lines import open_line, seal_line
from pgsnap.sealing.objects import NONCE, open_object, seal_object
from pgsnap.sealing.scheme import scheme_of
from pgsnap.sealing.words import _text, open_word, seal_word
from pgsnap.stores.base import ObjectInfo
from support.documents.examples import SEALED_NAME, stored
from support.documents.packs import BASE_TEXT, DEEP_TEXT, DELTA_TEXT
from support.repositories.keys import FIRST, SECOND, keys

KEYS = keys(FIRST, SECOND)
_LABEL = b"shop"
_GENERATION = b"tags/shop/release/00000002"
# Head, epoch and salt, by which everything else of a sealed object can be made.
_SEALED_START = HEAD.size + 4 + 32

Parser = Callable[[bytes], object]


class OneObject:
    """A store in which *name* is listed, and every object is *data*."""

    def __init__(self, name: str = "", data: bytes = b"") -> None:
        self._name = name
        self._data = data

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        yield ObjectInfo(self._name, 1)

    def get(self, name: str, **_: Any) -> bytes:
        return self._data


def _inside(name: str) -> bytes:
    return stored(name)[HEAD.size : -CHECKSUM_BYTES]


def _in_both(kind: ObjectKind, name: str, decode: Parser) -> Iterator[tuple[str, bytes, Parser]]:
    """Yield the parser of an object, plain and sealed."""
    words = name.replace("-", " ")
    yield words, _inside(name), lambda data: decode(wrap(kind, data))
    yield (
        f"{words}, sealed",
        _inside(name),
        lambda data: decode(
            open_object(KEYS, SEALED_NAME, seal_object(KEYS, SEALED_NAME, wrap(kind, data)))
        ),
    )


def _read_padded(plain: bytes) -> object:
    """Open a sealed object whose length, contents and padding are *plain*."""
    start = stored("sealed-tag")[HEAD.size : _SEALED_START]
    name = SEALED_NAME.encode()
    head = stored("sealed-tag")[: HEAD.size]
    bound = b"\0".join((head + start, KEYS.repository_id.encode(), name))
    from pgsnap.sealing.keys import salted

    key = salted(KEYS.objects_of(KEYS.epoch), start[4:])
    sealed = AESGCM(key).encrypt(NONCE, plain, bound)
    return open_object(KEYS, SEALED_NAME, wrap(ObjectKind.SEALED, start + sealed))


def _padded() -> bytes:
    data = stored("tag")
    return (struct.pack("<I", len(data)) + data).ljust(256, b"\0")


def _list_word(padded: bytes) -> object:
    """List a tag of the label whose name's plaintext with its padding is *padded*."""
    # The cipher takes no empty text.
    sealed = _text(AESSIV(KEYS.names).encrypt(padded or b"\1", [b"tag", _LABEL]))
    label = seal_word(KEYS.names, _LABEL, b"label")
    listed = list(SealedStore(OneObject(f"tags/{label}/{sealed}"), KEYS).list("tags/"))  # type: ignore[arg-type]
    if not listed:
        raise CorruptionError("it is no name")
    return listed


def _list_tag(name: bytes) -> object:
    listed = list(CreatedOnly(OneObject(name.decode("latin-1"), stored("tag"))).list("tags/"))  # type: ignore[arg-type]
    # Stray objects keep their names.
    if not listed or listed[0].name.encode("latin-1") == name:
        raise CorruptionError("it is no tag")
    return listed


def _lease(data: bytes) -> object:
    since = lease_since(OneObject(data=data))  # type: ignore[arg-type]
    if since is None:
        raise CorruptionError("it says nothing")
    return since


def _new_ids(old: Any, level: int) -> list[bytes]:
    return [bytes(reversed(one)) for one in old]


def _copied(data: bytes) -> object:
    keyed: Naming = scheme_of(KEYS).naming
    return copied_manifest(wrap(ObjectKind.MANIFEST, data), None, None, PLAIN_NAMES, keyed)


_TEXT_FRAME = compress(BASE_TEXT, 3)[1]
_DELTA_FRAME = compress(DELTA_TEXT, 3, BASE_TEXT)[1]


def _chain(data: bytes) -> object:
    sizes = [len(text) for text in (BASE_TEXT, DELTA_TEXT, DEEP_TEXT)]
    return decompress_chain([_TEXT_FRAME, data, compress(DEEP_TEXT, 3, DELTA_TEXT)[1]], sizes)


def _parsers() -> Iterator[tuple[str, bytes, Parser]]:
    for kind, name, decode in (
        (ObjectKind.MANIFEST, "manifest-2", decode_manifest),
        (ObjectKind.MANIFEST, "manifest-alias", decode_manifest),
        (ObjectKind.TAG, "tag", lambda data: decode_tag(data, "a tag")),
        (ObjectKind.NOTE, "note", lambda data: decode_note(data, "a note")),
        (ObjectKind.GONE_TAG, "gone-tag", lambda data: decode_gone_tag(data, "a tag")),
        (ObjectKind.ANNOUNCEMENT, "announcement", lambda data: decode_announcement(data, "it")),
    ):
        yield from _in_both(kind, name, decode)
    yield (
        "remote config",
        _inside("config-remote"),
        lambda data: decode_config(wrap(ObjectKind.CONFIG, data)),
    )
    manifest = _inside("manifest-alias")
    for name, parse in (
        ("head of a manifest", lambda data: decode_head(data, snapshot_id(data))),
        ("indexed manifest", lambda data: decode_indexed(data, snapshot_id(data))),
    ):
        yield name, manifest, lambda data, parse=parse: parse(wrap(ObjectKind.MANIFEST, data))  # type: ignore[misc]
    yield "manifest to copy", manifest, _copied
    yield "node to copy", stored("recipe-node"), lambda data: copied_node(data, 2, _new_ids)
    yield "piece to copy", stored("section"), lambda data: copied_piece(data, _new_ids)
    yield "recipes of a piece", stored("section"), lambda data: list(decode_roots(data))
    yield "chunks of a piece", stored("section"), lambda data: list(piece_chunks(data))
    yield (
        "tag in one piece",
        _inside("tag"),
        lambda data: usual_tag(wrap(ObjectKind.TAG, data), "shop", "größe/1", "it"),
    )
    sealed = stored("sealed-tag")
    yield "sealed object", sealed, lambda data: open_object(KEYS, SEALED_NAME, data)
    yield (
        "inside of an envelope of a sealed object",
        sealed[HEAD.size : -CHECKSUM_BYTES],
        lambda data: open_object(KEYS, SEALED_NAME, wrap(ObjectKind.SEALED, data)),
    )
    yield "padded contents of a sealed object", _padded(), _read_padded
    word = seal_word(KEYS.names, b"release", b"tag", _LABEL)
    yield (
        "sealed word",
        word.encode(),
        lambda data: open_word(KEYS.names, data.decode("latin-1"), b"tag", _LABEL),
    )
    yield "padded contents of a sealed word", b"release" + bytes([9]) * 9, _list_word
    yield "name of a remote tag", _GENERATION, _list_tag
    yield "line of the audit log", seal_line(KEYS, b"{}"), lambda data: open_line(KEYS, data)
    lease = b'{"holder": "00112233", "since": "2026-01-02T03:04:05+00:00"}'
    yield "lease", lease, _lease
    yield (
        "frame",
        _TEXT_FRAME,
        lambda data: decompress(Codec.ZSTD, data, len(BASE_TEXT)),
    )
    yield (
        "delta",
        _DELTA_FRAME,
        lambda data: decompress(Codec.ZSTD_DELTA, data, len(DELTA_TEXT), BASE_TEXT),
    )
    yield "delta in a chain", _DELTA_FRAME, _chain


KEYED_PARSERS: dict[str, tuple[bytes, Parser]] = {
    name: (data, parse) for name, data, parse in _parsers()
}
OPENED_ONLY_WHOLE = {
    "sealed object",
    "inside of an envelope of a sealed object",
    "sealed word",
    "line of the audit log",
}
"""Where no changed byte passes."""
