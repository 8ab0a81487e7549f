"""The parts of a dump's text that a given server or psql does not understand.

psql knows ``\\restrict`` since the minor releases of August 2025 (CVE-2025-8714). A dump by a newer
pg_dump sets parameters in its preamble that an older server does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.model import DumpEvent, SectionKind, SectionStart
from pgsnap.patterns import regex

RESTRICT_SINCE = {13: 130022, 14: 140019, 15: 150014, 16: 160010, 17: 170006}
"""Maps a major version to the first server_version_num whose psql knows ``\\restrict``."""

PREAMBLE_SETS_SINCE = {b"transaction_timeout": 17}
"""Maps a parameter in pg_dump's preamble to the first major version that knows it."""

STANDARD_STRINGS_SINCE = 19
"""The first major version in which a backslash in a plain literal is always a plain character."""

BACKSLASHES_OFF = "standard_conforming_strings = off"

_SETS_BACKSLASHES = regex(rb"SET standard_conforming_strings = off;")
_ABOUT_BACKSLASHES = regex(
    rb"SET (?:standard_conforming_strings = off|escape_string_warning = \w+);"
)

PREAMBLE_BYTES_MAX = 1024 * 1024


def understands_restrict(version_num: int) -> bool:
    """Return whether psql of *version_num* knows ``\\restrict``."""
    major = version_num // 10000
    if major in RESTRICT_SINCE:
        return version_num >= RESTRICT_SINCE[major]
    return major >= 18


def unknown_sets(server_major: int) -> tuple[bytes, ...]:
    """Return the parameters in pg_dump's preamble that a server of this major version lacks."""
    return tuple(name for name, since in PREAMBLE_SETS_SINCE.items() if server_major < since)


def sets_backslashes(line: bytes) -> bool:
    """Return whether this line of a preamble makes backslashes escapes."""
    return _SETS_BACKSLASHES.match(line) is not None


def is_left_out(line: bytes, server_major: int) -> bool:
    """Return whether a line of a preamble sets a parameter that a server of this major version
    lacks. Dumps that depend on backslash escapes are already refused by the plan of a restore."""
    if server_major >= STANDARD_STRINGS_SINCE and _ABOUT_BACKSLASHES.match(line):
        return True
    return any(line.startswith(b"SET " + name + b" ") for name in unknown_sets(server_major))


def without_unknown_sets(events: Iterable[DumpEvent], server_major: int) -> Iterator[DumpEvent]:
    """Yield *events* without the SETs of the preamble that the server does not know."""
    in_preamble = False
    kept = b""
    for event in events:
        if isinstance(event, bytes) and in_preamble and len(kept) < PREAMBLE_BYTES_MAX:
            *lines, kept = (kept + event).split(b"\n")
            yield from (line + b"\n" for line in lines if not is_left_out(line, server_major))
            continue
        if isinstance(event, SectionStart):
            in_preamble = event.name.kind is SectionKind.PREAMBLE
        if kept:
            yield kept
            kept = b""
        yield event
