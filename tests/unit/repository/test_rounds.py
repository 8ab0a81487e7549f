"""What is left of a round of gc when its removal is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.format.remote import Phase
from pgsnap.model import PackId
from pgsnap.repository.rounds import announce, claim, read_rounds, remove_rounds
from pgsnap.stores.local import LocalStore


class Killed(Exception):
    pass


class Reversed(LocalStore):
    """Deletes the last one first, as a store may, and is killed after so many."""

    left = 1000

    def delete(self, *names: str) -> None:
        for name in reversed(names):
            if not self.left:
                raise Killed
            self.left -= 1
            super().delete(name)


@pytest.mark.parametrize("killed_after", range(6))
def test_a_round_counts_as_done_until_nothing_is_left_of_it(
    tmp_path: Path, killed_after: int
) -> None:
    store = Reversed(tmp_path / "store")
    store.make_root()
    pack = PackId(bytes(32))
    for phase in (Phase.MARKED, Phase.SWEEPING, Phase.DONE):
        announce(store, 1, phase, [pack])
    for _ in range(2):
        claim(store, 1, [pack])
    store.left = killed_after
    if killed_after < 5:
        with pytest.raises(Killed):
            remove_rounds(store, [1])
    else:
        remove_rounds(store, [1])
    assert [one.is_done for one in read_rounds(store)] == ([True] if killed_after < 5 else [])
