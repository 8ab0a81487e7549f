"""Two versions of a definition side by side, line by line."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from pgsnap.values import dataclass

_CONTEXT = 3
LINES_MAX = 400
"""So many lines of a definition are shown."""
_COMPARED_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line of both sides, None where one has none. *kind*: "same", "changed", or "skipped", which
    stands for *skipped* lines that are the same, or "cut": the rest is left out."""

    kind: str
    before: str | None = None
    after: str | None = None
    skipped: int = 0


def side_by_side(before: str | None, after: str | None) -> tuple[Line, ...]:
    """Return the lines of two texts beside each other; None: there is no such side."""
    old, new = (text.splitlines() if text is not None else [] for text in (before, after))
    is_cut = max(len(old), len(new)) > _COMPARED_MAX
    old, new = old[:_COMPARED_MAX], new[:_COMPARED_MAX]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    found: list[Line] = []
    codes = matcher.get_opcodes()
    for place, (kind, a, b, c, d) in enumerate(codes):
        if kind == "equal":
            found += _same(old[a:b], place > 0, place < len(codes) - 1)
        else:
            found += _changed(old[a:b], new[c:d])
    if is_cut or len(found) > LINES_MAX:
        return (*found[:LINES_MAX], Line("cut"))
    return tuple(found)


def _same(lines: Sequence[str], follows: bool, precedes: bool) -> Iterator[Line]:
    """Yield equal lines: of long runs those near what differs."""
    head = _CONTEXT if follows else 0
    tail = _CONTEXT if precedes else 0
    skipped = len(lines) - head - tail
    if skipped <= 1:
        yield from (Line("same", line, line) for line in lines)
        return
    yield from (Line("same", line, line) for line in lines[:head])
    yield Line("skipped", skipped=skipped)
    yield from (Line("same", line, line) for line in lines[len(lines) - tail :])


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    for place in range(max(len(old), len(new))):
        yield Line(
            "changed",
            old[place] if place < len(old) else None,
            new[place] if place < len(new) else None,
        )
