"""Chunking on seeded data: speed, sizes, what a change costs, what chunk sizes mean for zstd.

    PYTHONPATH=src python benchmarks/bench_chunking.py [--megabytes 64]

Prints Markdown tables. Uses pyfastcdc for comparison where it is installed.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import random
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import zstandard

from pgsnap.chunking.row_hash import Hashes, Offsets, RowHash, UnalignedWords
from pgsnap.chunking.rows import RowChunker
from pgsnap.limits import KIB, MIB
from pgsnap.model import ChunkerParams

DEFAULT = ChunkerParams(64 * KIB, 256 * KIB, 1024 * KIB)
SIZES = {
    mean: ChunkerParams(mean // 4 * KIB, mean * KIB, mean * 4 * KIB) for mean in (64, 256, 1024)
}
BLOCK_BYTES = 1 * MIB
REPEATS = 3

Rows = list[bytes]
Cutter = Callable[[bytes], list[bytes]]


# -- data --------------------------------------------------------------------------------------


def random_rows(shape: str, size: int, seed: int) -> Iterator[bytes]:
    """Yield rows of *shape*, about *size* bytes in all, as COPY writes them."""
    dice = random.Random(seed)
    words = [dice.randbytes(dice.randint(2, 5)).hex() for _ in range(4000)]
    done = number = 0
    while done < size:
        number += 1
        row = ROW[shape](dice, number, words).encode() + b"\n"
        done += len(row)
        yield row


def _text(dice: random.Random, words: list[str], count: int) -> str:
    return " ".join(dice.choices(words, k=count))


def _jsonb(dice: random.Random, number: int, words: list[str]) -> str:
    fields = ", ".join(
        f'"{words[i]}": "{_text(dice, words, 3)}", "n{i}": {dice.randint(0, 9999)}'
        for i in range(60)
    )
    return f"{number}\t{{{fields}}}\t2026-01-01 00:00:00+00"


def _alike(dice: random.Random, number: int, words: list[str]) -> str:
    head, middle = "7d1f0c9e-43a5-4f6b-9c1e-000000000001", '{"theme": "dark", "mail": true}' * 6
    return f"{head}\t{number:08d}\t{middle}\tt\tf\t2026-01-01 00:00:00+00"


ROW: dict[str, Callable[[random.Random, int, list[str]], str]] = {
    "ids, constant tails (200 B)": lambda d, n, w: (
        f"{n}\t{d.randint(1, 50_000)}\t{_text(d, w, 12)}\tt\t\\N"
        "\t2026-01-01 00:00:00+00\tshipped\tEUR"
    ),
    "uuid (120 B)": lambda d, n, w: (
        f"{uuid.UUID(int=d.getrandbits(128))}\t{uuid.UUID(int=d.getrandbits(128))}"
        f"\t{_text(d, w, 5)}"
    ),
    "wide jsonb (2.5 kB)": _jsonb,
    "narrow (20 B)": lambda d, n, w: f"{n}\t{d.randint(1, 99_999)}\t{d.randint(0, 99)}.50",
    "100 kB rows": lambda d, n, w: (
        f"{n}\t" + base64.b64encode(d.randbytes(d.randint(60_000, 90_000))).decode()
    ),
    "bytea hex (4 MB rows)": lambda d, n, w: (
        f"{n}\t\\\\x" + d.randbytes(d.randint(1, 3) * MIB).hex()
    ),
    "alike but for 8 bytes (250 B)": _alike,
}


# -- cutters -----------------------------------------------------------------------------------


class FewerWords(RowHash):
    """The alternatives that were not chosen: one word, or two, at both ends of long rows."""

    def __init__(self, words: int) -> None:
        super().__init__(0)
        self._count = words

    def sampled(self, words: UnalignedWords, starts: Offsets, stops: Offsets) -> Hashes:
        factor = np.uint64(0x9E3779B97F4A7C15)
        if self._count == 2:
            total = words.at(starts) * factor
            total += words.at(stops - 8)
        else:
            first, second = words.pairs_at(starts)
            total = (first * factor + second) * factor
            first, second = words.pairs_at(stops - 16)
            total += first
            total *= factor
            total += second
        total ^= total >> np.uint64(32)
        total *= factor
        return total


def rows_cutter(params: ChunkerParams = DEFAULT, words: int = 6) -> Cutter:
    chunker = RowChunker(params)
    if words != 6:
        chunker._row_hash = FewerWords(words)

    def cut(data: bytes) -> list[bytes]:
        chunker.reset()
        view, chunks = memoryview(data), []
        for start in range(0, len(data), BLOCK_BYTES):
            chunks += chunker.feed(view[start : start + BLOCK_BYTES])
        chunks += chunker.finish()
        return [chunk.data for chunk in chunks]

    return cut


def fastcdc_cutter() -> Cutter | None:
    try:
        module: Any = importlib.import_module("pyfastcdc")
    except ImportError:
        return None
    # Its average counts from the minimum on.
    cdc = module.FastCDC(avg_size=256 * KIB, min_size=64 * KIB, max_size=1024 * KIB)
    return lambda data: [bytes(chunk.data) for chunk in cdc.cut_buf(data)]


# -- tables ------------------------------------------------------------------------------------


def table(title: str, heads: list[str], lines: list[list[str]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for line in lines:
        print(f"| {' | '.join(line)} |", flush=True)


def best_rate(work: Callable[[], object], size: int) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return size / 1e6 / min(times)


def show_speed(samples: dict[str, Rows]) -> None:
    cutters: dict[str, Cutter | None] = {
        "6 words": rows_cutter(),
        "4 words": rows_cutter(words=4),
        "2 words": rows_cutter(words=2),
        "pyfastcdc": fastcdc_cutter(),
    }
    lines = []
    for shape, rows in samples.items():
        data = b"".join(rows)
        rates = [
            f"{best_rate(partial(cut, data), len(data)):.0f}" if cut else "-"
            for cut in cutters.values()
        ]
        lines.append([shape, *rates])
    table("Speed, MB/s on one core", ["rows", *cutters], lines)


def show_sizes(samples: dict[str, Rows]) -> None:
    lines = []
    for shape, rows in samples.items():
        data = b"".join(rows)
        cells = []
        for words in (6, 4, 2):
            sizes = np.array([len(chunk) for chunk in rows_cutter(words=words)(data)]) / KIB
            cells.append(f"{sizes.mean():.0f}")
            if words == 6:
                cells += [f"{np.percentile(sizes, p):.0f}" for p in (5, 50, 95)]
        lines.append([shape, *cells])
    heads = ["rows", "mean, 6 words", "5 %", "50 %", "95 %", "mean, 4 words", "mean, 2 words"]
    table("Chunk sizes, KiB (64 / 256 / 1024)", heads, lines)


def changes(rows: Rows, shape: str) -> dict[str, bytes]:
    """Return the table after each kind of change."""
    dice = random.Random(9)
    count = len(rows)
    fresh = list(random_rows(shape, max(1, sum(map(len, rows)) // 100), seed=77))
    moved = set(dice.sample(range(count), max(1, count // 1000)))
    updated = [rows[i][:-1] + b"0\n" for i in sorted(moved)]
    part = max(1, count // 100)
    return {
        "1 % appended": b"".join(rows + fresh),
        "one row at the top": b"".join(fresh[:1] + rows),
        "1 % contiguous": b"".join(rows[: count // 2] + fresh + rows[count // 2 + part :]),
        "0.1 % updated, moved to the end": b"".join(
            [row for i, row in enumerate(rows) if i not in moved] + updated
        ),
        "10 bytes in the middle": _inserted(b"".join(rows)),
    }


def _inserted(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"0123456789" + data[len(data) // 2 :]


def new_percent(old: list[bytes], new: list[bytes]) -> float:
    known = set(old)
    return 100 * sum(map(len, {chunk for chunk in new if chunk not in known})) / sum(map(len, new))


def show_changes(samples: dict[str, Rows]) -> None:
    cutters = [rows_cutter(), fastcdc_cutter()]
    lines, heads = [], ["rows"]
    for shape, rows in samples.items():
        after = changes(rows, shape)
        heads = ["rows", *after]
        before = [cut(b"".join(rows)) if cut else [] for cut in cutters]
        cells = []
        for data in after.values():
            shares = [
                f"{new_percent(old, cut(data)):.2f}" if cut else "-"
                for cut, old in zip(cutters, before, strict=True)
            ]
            cells.append(" / ".join(shares))
        lines.append([shape, *cells])
    table("New bytes after a change, % (rows / pyfastcdc)", heads, lines)


def compress_all(compressor: zstandard.ZstdCompressor, chunks: list[bytes]) -> int:
    return sum(len(compressor.compress(chunk)) for chunk in chunks)


def show_zstd(samples: dict[str, Rows]) -> None:
    lines = []
    for shape, rows in samples.items():
        data = b"".join(rows)
        line = [shape]
        for level in (1, 3):
            compressor = zstandard.ZstdCompressor(level=level)
            for params in SIZES.values():
                chunks = rows_cutter(params)(data)
                stored = compress_all(compressor, chunks)
                rate = best_rate(partial(compress_all, compressor, chunks), len(data))
                line.append(f"{len(data) / stored:.2f}, {rate:.0f}")
        lines.append(line)
    heads = ["rows", *(f"level {level}, {mean} KiB" for level in (1, 3) for mean in SIZES)]
    table("zstd by mean chunk size: ratio, MB/s", heads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=64, help="data of each shape")
    size = parser.parse_args().megabytes * 1_000_000
    samples = {shape: list(random_rows(shape, size, seed=1)) for shape in ROW}
    show_speed(samples)
    show_sizes(samples)
    show_changes(samples)
    show_zstd(samples)


if __name__ == "__main__":
    main()
