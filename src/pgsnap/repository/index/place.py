"""Where the index is stored. It is derived, so any place will do, or memory if there is none.

SQLite's write-ahead log needs memory shared by all processes, so for a repository on a network file
system each host keeps the index on its own disk. Each then sees what other hosts added or deleted
when it opens the repository, as after any loss of the index.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from blake3 import blake3

from pgsnap.errors import ForeignPath, StoreError
from pgsnap.files.folder import Folder
from pgsnap.files.owned import make_folders
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.patterns import regex
from pgsnap.repository.index.index import Index
from pgsnap.repository.layout import INDEX_FILE

NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2"),
        # Folders of a host, shared with a virtual machine.
        *("virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.rclone"),
        *("fuse.s3fs", "fuse.gcsfuse", "fuse.juicefs", "fuse.mfs", "fuse.vmhgfs-fuse"),
        *("fuse.davfs", "davfs", "fuse.curlftpfs", "fuse.smbnetfs", "fuse.gvfsd-fuse"),
    }
)
"""File system types (/proc/self/mountinfo) whose files may also be open on other hosts."""

_WITH_TRUE_TIMES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"}
)

_PROBE = ".probe"
MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = regex(rb"\\([0-7]{3})")


def index_path(
    repository: Path,
    repository_id: str,
    index_folder: Path | None,
    *,
    writable: bool,
    mounts: Path = MOUNTS,
) -> Path | None:
    """Return the path of the index: in the repository if that is *writable* and local, else in
    *index_folder*; if that cannot be written either, in the repository after all, or None for
    memory. *mounts* is the kernel's list of mounts."""
    inside = repository / INDEX_FILE if writable else None
    if inside is not None and not is_on_network(repository, mounts):
        return inside
    if index_folder is None:
        return inside
    with contextlib.suppress(OSError):
        make_folders(index_folder)
    # Copies of a repository have the same id, but each has its own snapshots and packs.
    place = blake3(os.fsencode(repository.resolve())).hexdigest(length=4)
    file = index_folder / f"{repository_id}-{place}.sqlite"
    return file if is_writable(index_folder) else inside


def is_on_network(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Return whether *folder* is on a network file system. If that is unknown (not on Linux), it is
    assumed to be local."""
    return file_system_of(folder, mounts) in NETWORK_FILE_SYSTEMS


def has_true_times(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Return whether the times of *folder* change with each entry that is added to it or removed:
    unlike those of a union of several folders (mergerfs), or of a network file system, whose
    clients keep them. False if that is unknown (not on Linux)."""
    return file_system_of(folder, mounts) in _WITH_TRUE_TIMES


def file_system_of(folder: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system that *folder* is on, from the kernel's list of mounts (for
    its format see proc_pid_mountinfo(5)); "" if there is no such list."""
    try:
        lines = mounts.read_bytes().splitlines()
        place = os.fsencode(folder.resolve())
    except OSError:
        return ""
    best, kind = b"", ""
    for line in lines:
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda found: bytes([int(found[1], 8)]), fields[4]).rstrip(b"/")
        # Of several mounts on one folder, the last one hides the others.
        if (place + b"/").startswith(point + b"/") and len(point) >= len(best):
            best, kind = point, os.fsdecode(after.split(b" ")[0])
    return kind


def open_index(path: Path | None, trust: Trust = ONLY_OURS) -> Index:
    """Return the index in *path*; one in memory if it cannot be used, as on a full disk, or belongs
    to another user."""
    try:
        return Index(path, trust)
    except (ForeignPath, StoreError):
        return Index(None)


def is_writable(folder: Path) -> bool:
    """Return whether files can be created in *folder*. Tried, not deduced from modes: root may
    write anywhere, and media can be read-only."""
    place = Folder(folder)
    try:
        os.close(place.open(_PROBE, os.O_WRONLY | os.O_CREAT))
        # Two processes may try at the same time.
        place.unlink(_PROBE, missing_ok=True)
    except OSError:
        return False
    return True
