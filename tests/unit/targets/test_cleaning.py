from __future__ import annotations

import pytest

from pgsnap.targets.cleaning import clean_up_whole


class Dropping:
    """A clean-up that is interrupted so many times."""

    def __init__(self, interrupts: int) -> None:
        self.interrupts = interrupts
        self.tries = 0

    def __call__(self) -> None:
        self.tries += 1
        if self.tries <= self.interrupts:
            raise KeyboardInterrupt


def test_it_runs_once() -> None:
    drop = Dropping(0)
    clean_up_whole(drop)
    assert drop.tries == 1


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt_comes_out_after_a_second_try(interrupts: int) -> None:
    drop = Dropping(interrupts)
    with pytest.raises(KeyboardInterrupt):
        clean_up_whole(drop)
    assert drop.tries == 2
