"""Rounds of a gc on a remote store: what it announces, and what writers answer.

A gc cannot lock writers out, so packs go in two phases: *marked*, and after a grace period, in
which every writer that runs can see the mark, *swept*. A writer that relies on marked packs claims
them. Before a sweep lists claims and manifests, it announces itself; so of a claim or manifest and
a sweep that come at the same time, one sees the other (docs/format.md, "Remote repositories").
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import field
from datetime import UTC, datetime

from pgsnap.errors import CorruptionError
from pgsnap.format.remote import Announcement, Phase, decode_announcement, encode_announcement
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import PackId
from pgsnap.patterns import regex
from pgsnap.repository.layout import CLAIMS, COLLECTIONS
from pgsnap.stores.base import Store
from pgsnap.values import dataclass

_ROUND = regex(r"([0-9]{8,18})-([123])")
_CLAIM = regex(r"([0-9]{8,18})-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Round:
    """A round, and which of its phases have begun."""

    number: int
    phases: frozenset[Phase] = field(default_factory=frozenset)

    @property
    def is_open(self) -> bool:
        """Return whether its packs are marked, and no sweep has begun: they can be claimed."""
        return Phase.SWEEPING not in self.phases and Phase.DONE not in self.phases

    @property
    def is_done(self) -> bool:
        return Phase.DONE in self.phases


def read_rounds(store: Store) -> list[Round]:
    """Return the rounds, oldest first. One request where there are few."""
    found: dict[int, set[Phase]] = {}
    for info in store.list(COLLECTIONS):
        match = _ROUND.fullmatch(info.name.removeprefix(COLLECTIONS))
        if match is not None:
            found.setdefault(int(match[1]), set()).add(Phase(int(match[2])))
    return [Round(number, frozenset(found[number])) for number in sorted(found)]


def read_phase(store: Store, number: int, phase: Phase) -> Announcement:
    """Return what was announced. Raises ObjectNotFound, CorruptionError."""
    name = _phase_name(number, phase)
    return decode_announcement(
        store.get(name, bytes_max=RECORD_BYTES_MAX), f'the announcement "{name}"'
    )


def announce(store: Store, number: int, phase: Phase, packs: Sequence[PackId]) -> Announcement:
    """Announce the next phase of a round. Raises ObjectExists if another gc did so."""
    made = Announcement(phase, datetime.now(UTC), tuple(packs), os.urandom(16))
    store.create(_phase_name(number, phase), encode_announcement(made))
    return made


def claim(store: Store, number: int, packs: Sequence[PackId]) -> None:
    """Say that *packs* must stay in this round. It counts if no sweep has begun afterwards."""
    token = os.urandom(16)
    made = Announcement(Phase.CLAIMED, datetime.now(UTC), tuple(packs), token)
    store.create(f"{CLAIMS}{number:08d}-{token.hex()}", encode_announcement(made))


def claimed(store: Store, number: int) -> set[PackId]:
    """Return the packs that writers claimed in a round. Raises CorruptionError."""
    found: set[PackId] = set()
    for name in _claim_names(store, number):
        data = store.get(name, bytes_max=RECORD_BYTES_MAX)
        try:
            found.update(decode_announcement(data, f'the claim "{name}"').packs)
        except CorruptionError as error:
            error.hint = f'Once no commit or push to it is running, delete the object "{name}".'
            raise
    return found


def remove_rounds(store: Store, numbers: Sequence[int]) -> None:
    """Delete what rounds that were done long ago left behind."""
    for number in numbers:
        store.delete(*_claim_names(store, number))
        # The last one is what makes them count as done.
        for phase in (Phase.MARKED, Phase.SWEEPING, Phase.DONE):
            store.delete(_phase_name(number, phase))


def _claim_names(store: Store, number: int) -> list[str]:
    found = []
    for info in store.list(CLAIMS):
        match = _CLAIM.fullmatch(info.name.removeprefix(CLAIMS))
        if match is not None and int(match[1]) == number:
            found.append(info.name)
    return found


def _phase_name(number: int, phase: Phase) -> str:
    return f"{COLLECTIONS}{number:08d}-{int(phase)}"
