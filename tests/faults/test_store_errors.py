"""What a failing disk does to the local folder: an error in words, the old object, nothing left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreError, StoreFull
from pgsnap.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "store")
    made.make_root()
    made.put("tags/old", b"old")
    return made


def break_call(monkeypatch: pytest.MonkeyPatch, name: str, code: int, *, after: int = 0) -> None:
    """Let an os call fail with *code* once it was made *after* times."""
    whole: Callable[..., Any] = getattr(os, name)
    made = iter(range(1_000_000))

    def broken(*words: Any, **more: Any) -> Any:
        if next(made) >= after:
            raise OSError(code, os.strerror(code))
        return whole(*words, **more)

    monkeypatch.setattr(os, name, broken)


WRITES: dict[str, Callable[[LocalStore], None]] = {
    "put": lambda store: store.put("tags/new", b"new" * 1000),
    "put over": lambda store: store.put("tags/old", b"new" * 1000),
    "create": lambda store: store.create("tags/new", b"new"),
    "replace": lambda store: store.replace("tags/old", b"new", b"old"),
    "replace absent": lambda store: store.replace("tags/new", b"new", None),
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize(
    ("write", "call"),
    [
        *((write, call) for write in WRITES for call in ("writev", "fsync")),
        ("create", "link"),
        ("replace absent", "link"),
    ],
)
def test_a_failed_write_leaves_the_old_object_and_no_temporary_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, write: str, call: str, code: int
) -> None:
    with monkeypatch.context() as patch:
        break_call(patch, call, code)
        with pytest.raises(StoreError) as caught:
            WRITES[write](store)
    assert isinstance(caught.value, StoreFull) == (code in (errno.ENOSPC, errno.EDQUOT))
    assert caught.value.exit_code == 50
    assert caught.value.detail
    assert store.get("tags/old") == b"old"
    with pytest.raises(ObjectNotFound):
        store.get("tags/new")
    assert list((store.root / "tmp").iterdir()) == []


def test_a_full_disk_names_the_command_that_helps(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_call(monkeypatch, "writev", errno.ENOSPC)
    with pytest.raises(StoreFull) as caught:
        store.put("packs/ab/one", b"data")
    assert "snap init PATH" in caught.value.hint


def test_a_disk_that_fills_in_mid_object_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.writev
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", lambda file, views: write(file, [views[0][:100]]))
        break_call(patch, "fsync", errno.ENOSPC)
        with pytest.raises(StoreFull):
            store.put("packs/ab/one", b"x" * 1000)
    assert list((store.root / "tmp").iterdir()) == []
    assert list(store.list("packs/")) == []


def test_a_folder_that_cannot_be_synced_after_the_rename_is_an_error(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_call(monkeypatch, "fsync", errno.EIO, after=1)
    with pytest.raises(StoreError):
        store.put("tags/new", b"new")


def test_a_read_error_is_told_with_the_objects_name(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bad sector is damage of one object; any other error may be of all.
    for number, kind in ((errno.EIO, CorruptionError), (errno.ESTALE, StoreError)):
        with monkeypatch.context() as patched:
            break_call(patched, "pread", number)
            with pytest.raises(kind) as caught:
                store.get("tags/old")
        assert "tags/old" in caught.value.message


def test_an_object_cut_short_while_it_is_read_is_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(CorruptionError):
        store.get("tags/old")
