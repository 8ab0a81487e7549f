"""Makes snap's own extension available to a private cluster, without touching the installation.

PostgreSQL looks for extensions in its share folder, which it locates relative to its own
program. So the program is copied into a tree of links of the same shape, with the files of the
extension beside the links to the installed ones. (extension_control_path would be simpler, and
exists from version 18 on.)
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from pgsnap.cluster.binaries import Binaries
from pgsnap.runners.programs import run

_FILES = ("pgsnap_demo.control", "pgsnap_demo--1.0.sql")


def private_server(binaries: Binaries, folder: Path) -> str:
    """Create the tree in *folder*, and return the path of the postgres in it.

    Returns the installed postgres if pg_config does not report the folders.
    """
    folders = _configured(binaries, "--bindir", "--sharedir", "--pkglibdir")
    if folders is None:
        return binaries.program("postgres")
    bindir, sharedir, _ = folders
    shared = Path(os.path.commonpath(folders))
    for each in folders:
        _link_all(each, folder / each.relative_to(shared))
    extensions = folder / sharedir.relative_to(shared) / "extension"
    extensions.unlink()
    _link_all(sharedir / "extension", extensions)
    for name in _FILES:
        text = resources.files("pgsnap.cluster").joinpath("extension_sql", name).read_text("utf-8")
        (extensions / name).write_text(text, "utf-8")
    server = folder / bindir.relative_to(shared) / "postgres"
    server.unlink()
    shutil.copy(binaries.program("postgres"), server)
    return str(server)


def _link_all(source: Path, target: Path) -> None:
    """Fill the folder *target* with links to the entries of *source*; existing ones stay."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if not os.path.lexists(target / entry.name):
            (target / entry.name).symlink_to(entry)


def _configured(binaries: Binaries, *options: str) -> list[Path] | None:
    program = binaries.bindir / "pg_config"
    if not os.access(program, os.X_OK):
        return None
    done = run([program, *options])
    folders = [Path(line) for line in os.fsdecode(done.stdout).splitlines()]
    if done.returncode or len(folders) != len(options) or not all(map(Path.is_dir, folders)):
        return None
    return folders
