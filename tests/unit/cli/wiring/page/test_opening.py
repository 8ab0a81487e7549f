from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import pytest

from pgsnap.cli.wiring.page.opening import file_for


def test_a_browser_is_sent_on_by_a_file_that_goes_again(tmp_path: Path) -> None:
    with file_for("http://x/#token=1", {"XDG_RUNTIME_DIR": str(tmp_path)}) as path:
        assert path is not None
        assert path.parent == tmp_path
        assert 'url=http://x/#token=1"' in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_written_there_is_none_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The file can be created, but nothing fits into it, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with file_for("http://x/", {"XDG_RUNTIME_DIR": str(tmp_path)}) as path:
            assert path is None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
