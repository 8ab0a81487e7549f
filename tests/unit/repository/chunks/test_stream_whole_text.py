from __future__ import annotations

import tracemalloc

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.repository.chunks import stream
from pgsnap.repository.chunks.stream import whole_text


def test_a_whole_text_is_held_once() -> None:
    block = b"x" * 64 * 1024
    tracemalloc.start()
    text = whole_text(bytes(block) + b"\n" for _ in range(512))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text == (block + b"\n") * 512
    assert peak < 1.4 * len(text)


def test_a_text_of_more_than_a_dump_has_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WHOLE_TEXT_BYTES_MAX", 10)
    assert whole_text([b"12345", b"67890"]) == b"1234567890"
    with pytest.raises(CorruptionError):
        whole_text([b"12345", b"678901"])
