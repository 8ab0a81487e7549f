from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.format.manifest import MESSAGE, encode_manifest, quick_message
from pgsnap.format.record import FIELD
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots import manifests
from pgsnap.repository.snapshots.messages import messages
from support.dumps.scripted import shop
from support.repositories.made import make, record


def test_messages_are_read_without_the_rest_of_the_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository.open(make(tmp_path / "backups")) as repo:
        for number in range(3):
            record(repo, shop(10 + number), message=f"é \udc80 {number}")
        every = repo.newest(None)
        expected = [(one, head.message) for one, head in repo.heads(every)]
        data = encode_manifest(repo.snapshot(every[0]))
        with monkeypatch.context() as patched:
            patched.setattr(manifests, "decode_head", None)
            patched.setattr(manifests, "sound_manifest", None)
            assert list(messages(repo, every)) == expected
            assert len(expected) == 3
        # Of one that begins otherwise all is read, and checked.
        odd = data.replace(
            FIELD.pack(MESSAGE, len(expected[0][1].encode("utf-8", "surrogateescape"))),
            b"\0" * FIELD.size,
            1,
        )
        assert quick_message(data) == expected[0][1]
        assert quick_message(odd) is None
        assert quick_message(data[:40]) is None
        with repo.index.transaction() as connection:
            connection.execute("UPDATE snapshots SET manifest = ? WHERE id = ?", (odd, every[0]))
        assert list(messages(repo, every)) == expected
