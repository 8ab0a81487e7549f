"""The growth of a database as a chart: its size in each snapshot, and what each added to the
repository. Shapes stretch with the page, and the labels of the axes are text beside them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.values import dataclass
from pgsnap.words import clock, short_id, size

WIDTH = 1000
HEIGHT = 240
DRAWN_MAX = 240
"""More points than this cannot be told apart."""
_BARS_HEIGHT = 60
_TIMES_SHOWN = 4
_STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_DAYS_SPAN = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Dot:
    """A snapshot on the chart."""

    snapshot: SnapshotId
    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    """What a snapshot added to the repository, as a line from the bottom up to *y*."""

    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Growth:
    """The chart; *line* and *area* are paths. *sizes* are the labels from the top, *times* from the
    left. *bars* are left out where not all of *count* snapshots are drawn; that of the first one,
    which added *first_bytes*, may be cut."""

    line: str
    area: str
    dots: tuple[Dot, ...]
    sizes: tuple[str, ...]
    times: tuple[str, ...]
    bars: tuple[Bar, ...]
    bars_top: str
    first_bytes: int
    drawn: int
    count: int
    summary: str


def chosen(snapshots: Sequence[SnapshotId]) -> list[SnapshotId]:
    """Return those of *snapshots* that a chart shows: the first, the last, and evenly between."""
    if len(snapshots) <= DRAWN_MAX:
        return list(snapshots)
    last = len(snapshots) - 1
    return [snapshots[round(i * last / (DRAWN_MAX - 1))] for i in range(DRAWN_MAX)]


def growth(heads: Sequence[tuple[SnapshotId, SnapshotHead]], count: int) -> Growth | None:
    """Return the chart of *heads*, newest first, which are some of *count* snapshots; None where
    there is nothing to be seen."""
    if len(heads) < 2:
        return None
    oldest_first = sorted(heads, key=lambda head: head[1].time)
    start, end = oldest_first[0][1].time, oldest_first[-1][1].time
    span = (end - start).total_seconds() or 1.0
    top = _rounded_up(max(head.plain_bytes for _, head in heads))
    dots = [
        Dot(
            found,
            round((head.time - start).total_seconds() / span * WIDTH, 1),
            round(HEIGHT - head.plain_bytes / top * HEIGHT, 1),
            f"{clock(head.time)}: {size(head.plain_bytes)}, {short_id(found)}",
        )
        for found, head in oldest_first
    ]
    line = "M" + " L".join(f"{dot.x},{dot.y}" for dot in dots)
    bars: list[Bar] = []
    # The first snapshot has everything: beside it the others would not be seen.
    most = max(head.stored_bytes for _, head in oldest_first[1:])
    if len(heads) == count and most > 0:
        bars = [
            Bar(
                dot.x,
                round(_BARS_HEIGHT - min(head.stored_bytes / most, 1) * _BARS_HEIGHT, 1),
                f"{clock(head.time)}: {size(head.stored_bytes)} new",
            )
            for dot, (_, head) in zip(dots, oldest_first, strict=True)
        ]
    first, last = oldest_first[0][1], oldest_first[-1][1]
    return Growth(
        line=line,
        area=f"{line} L{dots[-1].x},{HEIGHT} L{dots[0].x},{HEIGHT} Z",
        dots=tuple(dots),
        sizes=(size(top), size(top // 2), "0"),
        times=_times(start, end),
        bars=tuple(bars),
        bars_top=size(most),
        first_bytes=oldest_first[0][1].stored_bytes,
        drawn=len(heads),
        count=count,
        summary=f"The size of the dumps: {size(first.plain_bytes)} on {clock(first.time)}, "
        f"{size(last.plain_bytes)} on {clock(last.time)}.",
    )


def _rounded_up(amount: int) -> int:
    """Return the next round number, so that the labels of the axis are short."""
    unit = int(10 ** max(len(str(amount)) - 1, 0))
    return max(next(round(step * unit) for step in _STEPS if step * unit >= amount), 2)


def _times(start: datetime, end: datetime) -> tuple[str, ...]:
    form = "%Y-%m-%d" if end - start >= _DAYS_SPAN else "%b %d, %H:%M"
    steps = _TIMES_SHOWN - 1
    found = [start + (end - start) * step / steps for step in range(_TIMES_SHOWN)]
    return tuple(moment.astimezone().strftime(form) for moment in found)
