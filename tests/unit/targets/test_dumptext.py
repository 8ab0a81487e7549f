from __future__ import annotations

import pytest

from pgsnap.dump.events import text_of
from pgsnap.model import SectionKind, SectionName
from pgsnap.targets.dumptext import understands_restrict, without_unknown_sets
from support.dumps.texts import as_events, pieces

PREAMBLE = b"--\nSET statement_timeout = 0;\nSET transaction_timeout = 0;\nSET x = 1;\n"
LATER = b"SET transaction_timeout = 0;\nrest"


def filtered(major: int, *, size: int) -> bytes:
    events = [
        event
        for kind, data in ((SectionKind.PREAMBLE, PREAMBLE), (SectionKind.PRE_DATA, LATER))
        for event in as_events(SectionName(kind), *pieces(data, size))
    ]
    return b"".join(text_of(without_unknown_sets(events, major)))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_older_server_is_spared_the_settings_it_does_not_know(size: int) -> None:
    without = PREAMBLE.replace(b"SET transaction_timeout = 0;\n", b"")
    assert filtered(15, size=size) == without + LATER


@pytest.mark.parametrize("size", [1, 1000])
def test_a_server_that_knows_them_gets_every_byte(size: int) -> None:
    assert filtered(17, size=size) == PREAMBLE + LATER


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_servers_do_not_have_any_more_is_left_out_for_them(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = b"SET standard_conforming_strings = off;\nSET escape_string_warning = off;\n"
    kept = b"SET standard_conforming_strings = on;\n"
    monkeypatch.setattr(f"{__name__}.PREAMBLE", PREAMBLE + gone + kept)
    assert filtered(19, size=size) == PREAMBLE.replace(gone, b"") + LATER
    assert gone in filtered(18, size=size)


@pytest.mark.parametrize(
    ("version_num", "knows"),
    [
        (150013, False),
        (150014, True),
        (140018, False),
        (140019, True),
        (130022, True),
        (160009, False),
        (170006, True),
        (180000, True),
        (120022, False),
    ],
)
def test_restrict_is_known_since_the_minor_releases_of_august_2025(
    version_num: int, knows: bool
) -> None:
    assert understands_restrict(version_num) is knows
