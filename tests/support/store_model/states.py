"""States of a small database, and the ways in which one becomes the next."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import strategies as st

from support.dumps.scripted import Dump, dump, rows, table

State = dict[str, list[bytes]]
"""The rows of each table."""

_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
_ROW = st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"\\n"))
# Some rows again and again, so that chunks are shared; some long, so that there are several.
_ROWS = st.one_of(
    st.lists(_ROW, max_size=20),
    st.builds(rows, st.integers(0, 400), seed=st.integers(1, 3)),
)


@st.composite
def dumps(draw: st.DrawFn) -> Dump:
    """Dumps with any names and bytes in them."""
    names = draw(st.lists(st.tuples(_WORDS, _WORDS), max_size=4, unique=True))
    tables = [table(schema, name, draw(_ROWS)) for schema, name in names]
    return dump(*tables, globals_text=draw(st.none() | st.binary(max_size=50)))


def first_state(seed: int) -> State:
    return {
        "orders": rows(150, seed=seed, width=200),
        "users": rows(40, seed=seed + 1, width=400),
    }


def dump_of(state: State) -> Dump:
    return dump(*(table("public", name, lines) for name, lines in state.items()))


def _unchanged(state: State, chance: random.Random) -> None:
    pass


def _scattered(state: State, chance: random.Random) -> None:
    lines = _some_table(state, chance)
    for place in chance.sample(range(len(lines)), min(len(lines), chance.choice((1, 5, 40)))):
        lines[place] = lines[place][: chance.randrange(4, 60)] + chance.randbytes(10).hex().encode()


def _appended(state: State, chance: random.Random) -> None:
    lines = _some_table(state, chance)
    lines += rows(chance.choice((1, 20, 100)), seed=chance.randrange(10**6), width=150)


def _deleted(state: State, chance: random.Random) -> None:
    lines = _some_table(state, chance)
    start = chance.randrange(len(lines) + 1)
    del lines[start : start + chance.choice((1, 10, 100))]


def _reordered(state: State, chance: random.Random) -> None:
    chance.shuffle(_some_table(state, chance))


def _sorted_otherwise(state: State, chance: random.Random) -> None:
    _some_table(state, chance).sort(key=lambda line: line[::-1])


def _new_table(state: State, chance: random.Random) -> None:
    state[f"t{chance.randrange(20)}"] = rows(
        chance.choice((0, 3, 30)), seed=chance.randrange(50), width=chance.choice((20, 200, 3000))
    )


def _dropped_table(state: State, chance: random.Random) -> None:
    # Some table there must always be.
    if len(state) > 1:
        del state[chance.choice(sorted(state))]


def _all_new(state: State, chance: random.Random) -> None:
    state.clear()
    state.update(first_state(chance.randrange(10**6)))


def _one_column(state: State, chance: random.Random) -> None:
    lines = _some_table(state, chance)
    lines[:] = [line + b"\t%d" % chance.randrange(3) for line in lines]


def deep_change(state: State, chance: random.Random) -> None:
    """Change a row or two of a small table: what is done day after day makes long chains."""
    lines = state.setdefault("deep", rows(30, width=100))
    for _ in range(chance.choice((1, 2))):
        if lines:
            place = chance.randrange(len(lines))
            lines[place] = lines[place][:20] + chance.randbytes(6).hex().encode()


def _some_table(state: State, chance: random.Random) -> list[bytes]:
    return state[chance.choice(sorted(state))]


CHANGES: list[Callable[[State, random.Random], None]] = [
    _scattered,
    _appended,
    _deleted,
    _unchanged,
    _reordered,
    _sorted_otherwise,
    _new_table,
    _dropped_table,
    _one_column,
    _all_new,
    deep_change,
]
