"""Every parser of stored bytes on bytes that nobody stored: a documented error, or a value.

The stored examples are changed by bytes, by fields and by sizes, and get right checksums again, so
that what lies behind these is reached. SNAP_FUZZ_INPUTS says how many are tried.
"""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Callable

import pytest

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError, FormatTooNew, WrongKey
from pgsnap.format.baseline import decode_baseline
from pgsnap.format.by_name.origin import decode_origin, encode_origin
from pgsnap.format.by_name.reading import decode_reading, encode_reading
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD, ObjectKind, checksum, head, wrap
from pgsnap.format.manifest import decode_manifest
from pgsnap.format.pack import END_MARK, SEAL, TRAILER, decode_table, read_table
from pgsnap.format.recipe import decode_children, decode_node, decode_root
from pgsnap.format.sections import decode_piece
from pgsnap.format.small import decode_config
from pgsnap.model import Codec, Location, PackSeal
from pgsnap.sealing.slots import decode_slot
from support.documents.examples import EDITED_TEXT, stored
from support.documents.keyed_parsers import KEYED_PARSERS, OPENED_ONLY_WHOLE
from support.documents.packs import BASE_TEXT, SEALER, split_pack
from support.documents.values import ORIGIN, READING
from support.running.seeds import SEED

INPUTS = int(os.environ.get("SNAP_FUZZ_INPUTS", "300000"))
GROWTH_MIB_MAX = 64
INTERESTING = [0, 1, 2, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1]
WORDS = [b'"', b"\\", b"{", b"}", b"[", b"null", b"-1", b"1e999", b"NaN", b"true", b'"\\u0000"']


def _enveloped(kind: ObjectKind, decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Return a decoder of the record inside, around which the envelope is whole."""
    return lambda record: decode(wrap(kind, record))


def _read_pack(data: bytes) -> object:
    """Read a pack whose table is *data* and whose checksum is right."""
    start = head(ObjectKind.PACK)
    trailer = TRAILER.pack(len(data), checksum(start, data), END_MARK)
    frames = stored("pack")[len(start) : -TRAILER.size - len(_table())]
    whole = start + frames + data + trailer
    return read_table(bytes(32), len(whole), lambda at, size: whole[at : at + size])


def _inside(name: str) -> bytes:
    return stored(name)[HEAD.size : -CHECKSUM_BYTES]


def _table() -> bytes:
    data = stored("pack")
    size = TRAILER.unpack(data[-TRAILER.size :])[0]
    return data[-TRAILER.size - size : -TRAILER.size]


def _read_sealed(table: bytes) -> object:
    """Read a sealed pack whose table is *table*, sealed and hashed as it should be."""
    data = stored("pack-sealed")
    start = data[: HEAD.size + SEAL.size]
    seal = PackSeal(*SEAL.unpack_from(start, HEAD.size))
    sealed = SEALER.seal_table(seal, table)
    middle = data[len(start) : -TRAILER.size - TRAILER.unpack(data[-TRAILER.size :])[0]]
    return _read_whole(start, middle + sealed, len(sealed))


def _read_whole(start: bytes, rest: bytes, table_bytes: int) -> object:
    """Read the sealed pack of these parts, with the right checksum."""
    end = len(rest) - table_bytes
    trailer = TRAILER.pack(table_bytes, checksum(start, rest[end:]), END_MARK)
    whole = start + rest + trailer
    return read_table(bytes(32), len(whole), lambda at, size: whole[at : at + size], SEALER)


def _read_with_seal(start: bytes) -> object:
    """Read a sealed pack that begins with *start*."""
    data = stored("pack-sealed")
    table_bytes = TRAILER.unpack(data[-TRAILER.size :])[0]
    return _read_whole(start, data[HEAD.size + SEAL.size : -TRAILER.size], table_bytes)


def _sealed_table() -> bytes:
    data = stored("pack-sealed")
    size = TRAILER.unpack(data[-TRAILER.size :])[0]
    seal = PackSeal(*SEAL.unpack_from(data, HEAD.size))
    return SEALER.open_table(seal, data[-TRAILER.size - size : -TRAILER.size], "it")


def _first_of_sealed() -> Location:
    data = stored("pack-sealed")
    return read_table(bytes(32), len(data), lambda at, size: data[at : at + size], SEALER)[0]


_PLACE = _first_of_sealed()
_EDITS = split_pack(stored("pack-edits"))[1][1]

PARSERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "config": (_inside("config"), _enveloped(ObjectKind.CONFIG, decode_config)),
    "encrypted config": (
        _inside("config-encrypted"),
        _enveloped(ObjectKind.CONFIG, decode_config),
    ),
    "key slot": (
        _inside("key-slot"),
        _enveloped(ObjectKind.KEY_SLOT, lambda data: decode_slot(data, "a slot")),
    ),
    "manifest": (_inside("manifest"), _enveloped(ObjectKind.MANIFEST, decode_manifest)),
    "manifest with leaf digests": (
        _inside("manifest-stems-from"),
        _enveloped(ObjectKind.MANIFEST, decode_manifest),
    ),
    "reading": (encode_reading(READING), lambda data: decode_reading(data, "it")),
    "origin": (encode_origin(ORIGIN), lambda data: decode_origin(data, "it")),
    "recipe root": (stored("recipe-root"), lambda data: decode_root(data, "it")),
    "recipe node": (stored("recipe-node"), lambda data: decode_node(data, 2)),
    "children": (stored("recipe-node"), lambda data: decode_children(data, 2)),
    "section table with leaf digests": (
        stored("section-3"),
        lambda data: list(decode_piece(data)),
    ),
    "section table": (stored("section"), lambda data: list(decode_piece(data))),
    "baseline": (stored("baseline"), decode_baseline),
    "pack table": (_table(), lambda data: decode_table(data, bytes(32), "it")),
    "pack": (_table(), _read_pack),
    "sealed table": (_sealed_table(), _read_sealed),
    "sealed head": (stored("pack-sealed")[: HEAD.size + SEAL.size], _read_with_seal),
    "sealed frame": (
        stored("pack-sealed")[_PLACE.offset :][: _PLACE.frame.frame_bytes],
        lambda data: SEALER.open(_PLACE, data),
    ),
    "edits": (
        _EDITS,
        lambda data: decompress(Codec.EDITS, data, len(EDITED_TEXT), BASE_TEXT),
    ),
    "envelope": (stored("manifest"), decode_manifest),
    **KEYED_PARSERS,
}


def changed(chance: random.Random, data: bytes) -> bytes:
    """Return *data* with a few changes."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        kind = chance.randrange(7)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del found[at : at + chance.choice((1, 4, 8, 40))]
        elif kind == 2:
            found[at:at] = chance.randbytes(chance.choice((1, 2, 6, 33)))
        elif kind == 3:
            found[at:at] = found[at : at + chance.choice((6, 20, 100))]
        elif kind == 4:
            value = chance.choice(INTERESTING)
            size = chance.choice([size for size in (1, 2, 4, 8) if value < 256**size])
            found[at : at + size] = value.to_bytes(size, "little")
        elif kind == 5:
            found[at : at + chance.choice((0, 1, 4))] = chance.choice(WORDS)
        else:
            del found[at:]
    return bytes(found)


@pytest.mark.parametrize("name", PARSERS)
def test_bytes_that_nobody_stored_give_a_documented_error_or_a_value(name: str) -> None:
    data, parse = PARSERS[name]
    parse(data)
    chance = random.Random(f"{SEED} {name}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parsed = refused = 0
    for _ in range(max(INPUTS // len(PARSERS), 1)):
        made = changed(chance, data)
        try:
            parse(made)
            parsed += 1
        except (CorruptionError, FormatTooNew, WrongKey):
            refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            pytest.fail(f"{type(error).__name__}: {error} of {made.hex()}")
    # Both sides of every check are reached.
    assert refused
    assert parsed or name in {"envelope", "sealed head", "sealed frame", *OPENED_ONLY_WHOLE}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWTH_MIB_MAX * 1024
