"""Where the index lies. It is derived, so any place will do, and memory where there is none.

SQLite's write-ahead log needs memory that all its processes share, so the index of a repository on
a network file system lies on each host's own disk. Each then sees what other hosts added or
deleted when it opens the repository, as after any loss of the index.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from blake3 import blake3

from pgsnap.errors import ForeignPath, StoreError
from pgsnap.files.folder import Folder
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.repository.index.index import Index
from pgsnap.repository.layout import INDEX_FILE

NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "ocfs2", "gfs2"),
        # Folders of a host, seen by a virtual machine.
        *("virtiofs", "vboxsf", "vmhgfs", "prl_fs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.rclone"),
        *("fuse.s3fs", "fuse.gcsfuse", "fuse.juicefs", "fuse.mfs", "fuse.vmhgfs-fuse"),
        *("fuse.davfs", "davfs", "fuse.curlftpfs", "fuse.smbnetfs", "fuse.gvfsd-fuse"),
    }
)
"""Types of /proc/self/mountinfo whose files other hosts may have open too."""

_PROBE = ".probe"
MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")


def index_path(
    repository: Path,
    repository_id: str,
    index_folder: Path | None,
    *,
    writable: bool,
    mounts: Path = MOUNTS,
) -> Path | None:
    """Return the index's file: in the repository where that is *writable* and on this host, else
    in *index_folder*; where that cannot be written either, in the repository after all, or None
    for memory. *mounts* is the kernel's list of mounts."""
    inside = repository / INDEX_FILE if writable else None
    if inside is not None and not is_on_network(repository, mounts):
        return inside
    if index_folder is None:
        return inside
    with contextlib.suppress(OSError):
        index_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Copies of a repository have one id, and each its own snapshots and packs.
    place = blake3(os.fsencode(repository.resolve())).hexdigest(length=4)
    file = index_folder / f"{repository_id}-{place}.sqlite"
    return file if is_writable(index_folder) else inside


def is_on_network(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Tell whether *folder* lies on a network file system. Where nobody knows (no Linux), it is
    taken for a local one."""
    return file_system_of(folder, mounts) in NETWORK_FILE_SYSTEMS


def file_system_of(folder: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system that *folder* lies on, by the kernel's list of mounts (its
    format: proc_pid_mountinfo(5)); "" where there is none."""
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
        # Of mounts on one folder the last one hides those before.
        if (place + b"/").startswith(point + b"/") and len(point) >= len(best):
            best, kind = point, os.fsdecode(after.split(b" ")[0])
    return kind


def open_index(path: Path | None, trust: Trust = ONLY_OURS) -> Index:
    """Return the index in *path*; one in memory where it cannot be used, as on a full disk, or is
    somebody else's."""
    try:
        return Index(path, trust)
    except (ForeignPath, StoreError):
        return Index(None)


def is_writable(folder: Path) -> bool:
    """Tell whether files can be made in *folder*: by trying, as root may and media may not."""
    place = Folder(folder)
    try:
        os.close(place.open(_PROBE, os.O_WRONLY | os.O_CREAT))
        # Two processes may try at once.
        place.unlink(_PROBE, missing_ok=True)
    except OSError:
        return False
    return True
