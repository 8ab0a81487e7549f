"""A file system that does not tell upper from lower case, made of one that does: each name that is
asked for below an open folder is replaced by the one that is there, as FAT and APFS do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def fold_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the calls that name files below open folders take names in any case."""

    def there(name: Any, folder: int | None) -> Any:
        if folder is None or not isinstance(name, str):
            return name
        # By its path: an open folder is read from one place by all who read it.
        here = Path(f"/proc/self/fd/{folder}").iterdir()
        return next((one.name for one in here if one.name.lower() == name.lower()), name)

    def one(call: Callable[..., Any]) -> Callable[..., Any]:
        def folded(name: Any, *words: Any, dir_fd: int | None = None, **more: Any) -> Any:
            return call(there(name, dir_fd), *words, dir_fd=dir_fd, **more)

        return folded

    def two(call: Callable[..., Any]) -> Callable[..., Any]:
        def folded(
            old: Any,
            new: Any,
            *,
            src_dir_fd: int | None = None,
            dst_dir_fd: int | None = None,
            **more: Any,
        ) -> Any:
            return call(
                there(old, src_dir_fd),
                there(new, dst_dir_fd),
                src_dir_fd=src_dir_fd,
                dst_dir_fd=dst_dir_fd,
                **more,
            )

        return folded

    for name in ("open", "stat", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, one(getattr(os, name)))
    for name in ("replace", "link"):
        monkeypatch.setattr(os, name, two(getattr(os, name)))
