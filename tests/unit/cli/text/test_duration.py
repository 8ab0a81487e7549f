from __future__ import annotations

import pytest

from pgsnap.cli.text.duration import parse_duration
from pgsnap.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2.5", 2.5), ("90s", 90), ("10min", 600), ("10 m", 600), ("1h30m", 5400),
     ("26H", 93600), ("35d", 3024000), ("500ms", 0.5), ("2w", 1209600)],
)  # fmt: skip
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text, "--x") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "-5s", "1h foo", "s", "1e3"])
def test_a_wrong_duration_names_the_option(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text, "--lock-timeout")
    assert "--lock-timeout" in caught.value.message
    assert "10min" in caught.value.hint
