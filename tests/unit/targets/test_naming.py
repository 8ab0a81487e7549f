from __future__ import annotations

import re

from pgsnap.targets.naming import (
    LOADER_PATTERN,
    SCRATCH_PATTERN,
    SESSION_PATTERN,
    application_name,
    kept_name,
    loader_role,
    new_token,
    scratch_name,
    token_of,
)


def test_names_of_one_restore_share_its_token_and_are_known_again() -> None:
    token = new_token()
    assert re.fullmatch("[0-9a-f]{10}", token)
    assert token_of(scratch_name("app", token), SCRATCH_PATTERN) == token
    assert token_of(loader_role(token), LOADER_PATTERN) == token
    assert token_of(application_name(token) + " swap", SESSION_PATTERN) == token


def test_a_kept_database_is_never_taken_for_a_scratch_database() -> None:
    assert token_of(kept_name("app", "0123456789"), SCRATCH_PATTERN) is None
    assert token_of("app", SCRATCH_PATTERN) is None
    assert token_of("app__snap_0123456789_x", SCRATCH_PATTERN) is None


def test_a_long_name_is_cut_between_characters_and_fits_into_an_identifier() -> None:
    name = "a" + "ä" * 30
    for made in (scratch_name(name, "0123456789"), kept_name(name, "0123456789")):
        assert len(made.encode()) <= 63
        assert made.startswith("a" + "ä" * 19 + "__snap_")


def test_a_name_of_exactly_forty_bytes_is_whole() -> None:
    assert scratch_name("b" * 40, "0123456789").startswith("b" * 40 + "__snap_")
    assert scratch_name("b" * 41, "0123456789").startswith("b" * 40 + "__snap_")
