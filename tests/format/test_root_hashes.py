"""Root hashes and leaf digests are what docs/format.md says, computed here word by word."""

from __future__ import annotations

from dataclasses import replace

from blake3 import blake3

from pgsnap.format import section_names
from pgsnap.format.roots import roots_of
from pgsnap.model import OUTSIDE_ROOT, Section, SectionKind, SectionName
from support.documents import values


def test_the_root_hash_is_as_the_specification_says() -> None:
    globals_section = Section(SectionName(SectionKind.GLOBALS), 9, 1, values.a_hash("globals"), ())
    name = section_names.encode_name(values.NAME)
    pre_data = section_names.encode_name(SectionName(SectionKind.PRE_DATA))
    expected = blake3(
        b"snap root 1\n"
        + len(pre_data).to_bytes(4, "little")
        + pre_data
        + (12).to_bytes(8, "little")
        + values.a_hash("pre")
        + len(name).to_bytes(4, "little")
        + name
        + (70_000).to_bytes(8, "little")
        + values.a_hash("section")
    ).digest()
    outside = [
        replace(globals_section, name=SectionName(kind, part=part), digest=values.a_hash(word))
        for kind, part, word in (
            (SectionKind.STATISTICS, 0, "first"),
            (SectionKind.EXTENSION_SEQUENCES, 0, "sequences"),
            (SectionKind.STATISTICS, 1, "second"),
        )
    ]
    some = [values.PRE_DATA, outside[0], values.SECTION, *outside[1:], globals_section]
    roots = roots_of(some)
    assert roots.root == expected
    hasher = blake3(b"snap statistics root 1\n")
    for found in (outside[0], outside[2]):
        name = section_names.encode_name(found.name)
        hasher.update(len(name).to_bytes(4, "little") + name + (9).to_bytes(8, "little"))
        hasher.update(found.digest)
    assert {kind: roots.outside(kind) for kind in OUTSIDE_ROOT} == {
        SectionKind.GLOBALS: values.a_hash("globals"),
        SectionKind.EXTENSION_SEQUENCES: values.a_hash("sequences"),
        SectionKind.STATISTICS: hasher.digest(),
    }
