"""What of a dump's text a given server or psql does not understand.

psql knows ``\\restrict`` since the minor releases of August 2025 (CVE-2025-8714). A dump by a
newer pg_dump sets parameters in its preamble that an older server does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pgsnap.model import SectionKind, SectionName

RESTRICT_SINCE = {13: 130022, 14: 140019, 15: 150014, 16: 160010, 17: 170006}
"""Major version -> the first server_version_num whose psql knows ``\\restrict``."""

PREAMBLE_SETS_SINCE = {b"transaction_timeout": 17}
"""Parameter that pg_dump sets in the preamble -> the first major that knows it."""

PREAMBLE_BYTES_MAX = 1024 * 1024


def understands_restrict(version_num: int) -> bool:
    """Tell whether psql of *version_num* knows ``\\restrict``."""
    major = version_num // 10000
    if major in RESTRICT_SINCE:
        return version_num >= RESTRICT_SINCE[major]
    return major >= 18


def unknown_sets(server_major: int) -> tuple[bytes, ...]:
    """Return the parameters of pg_dump's preamble that a server of this major does not know."""
    return tuple(name for name, since in PREAMBLE_SETS_SINCE.items() if server_major < since)


def without_unknown_sets(
    blocks: Iterable[bytes],
    section: Callable[[], SectionName | None],
    server_major: int,
) -> Iterator[bytes]:
    """Yield *blocks* without the SETs of the preamble that the server does not know.

    *section* tells which section the block at hand belongs to; a block never spans two.
    """
    unknown = unknown_sets(server_major)
    kept = b""
    for block in blocks:
        name = section()
        in_preamble = name is not None and name.kind is SectionKind.PREAMBLE
        if unknown and in_preamble and len(kept) < PREAMBLE_BYTES_MAX:
            *lines, kept = (kept + block).split(b"\n")
            whole = b"".join(line + b"\n" for line in lines if not _sets_one_of(line, unknown))
        else:
            whole, kept = kept + block if kept else block, b""
        if whole:
            yield whole
    if kept:
        yield kept


def _sets_one_of(line: bytes, names: tuple[bytes, ...]) -> bool:
    return any(line.startswith(b"SET " + name + b" ") for name in names)
