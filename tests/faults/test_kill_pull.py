"""A pull that is killed between a manifest and the index that all commits share."""

from __future__ import annotations

import os
from pathlib import Path

from pgsnap.repository.layout import snapshot_name
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.sync.transfer import transfer
from support.repositories.collecting import commit_versions, version
from support.repositories.made import in_child, make, record


def test_what_a_killed_pull_brought_moves_no_tag(tmp_path: Path) -> None:
    path, url = make(tmp_path / "here"), (tmp_path / "there").as_uri()
    Repository.create(url)
    with Repository.open(path) as repo:
        (mine,) = commit_versions(repo, [0])
        set_tag(repo, "moving", mine)
    with Repository.open(url) as repo:
        new = record(repo, version(1), tags=["moving"], force_tags=True).snapshot_id
    name = snapshot_name(new)

    def pull() -> None:
        with Repository.open(path) as here, Repository.open(url) as there:
            write = here.store.put

            def put_and_die(written: str, data: bytes | list[bytes]) -> None:
                write(written, data)
                if written == name:
                    os._exit(9)

            here.store.put = put_and_die  # type: ignore[method-assign]
            transfer(there, here)

    assert in_child(pull) == 9
    with Repository.open(path) as repo:
        assert repo.has_snapshot(new)
        tag = repo.tags.get("shop", "moving")
        assert tag is not None
        assert tag.snapshot == mine
    with Repository.open(path) as here, Repository.open(url) as there:
        assert [one.tag.name for one in transfer(there, here).divergent] == ["moving"]
