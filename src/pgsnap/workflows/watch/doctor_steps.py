"""The steps of a doctor's visit: what was looked at, how it is, what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN_MAX = 5


class Health(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at; *next* is what to do about it, "" where there is nothing."""

    name: str
    health: Health
    text: str
    next: str = ""


def in_short(steps: Iterable[Step]) -> list[Step]:
    """Return *steps* with at most five of one name and health; the others are counted in one."""
    found: dict[tuple[str, Health], list[Step]] = {}
    for step in steps:
        found.setdefault((step.name, step.health), []).append(step)
    short = []
    for (name, health), group in found.items():
        short += group[:_SHOWN_MAX]
        more = len(group) - _SHOWN_MAX
        if more > 0:
            way = (
                "" if health is Health.OK else "Mend those that are named, then again: snap doctor"
            )
            short.append(Step(name, health, f"and {more} more", way))
    return short
