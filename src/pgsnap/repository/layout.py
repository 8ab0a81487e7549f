"""The names of objects in a store (docs/format.md, "Layout")."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from pgsnap.errors import UsageError
from pgsnap.files.folder import Folder, Kind
from pgsnap.limits import ID_PREFIX_MIN, LABEL_BYTES_MAX, TAG_BYTES_MAX
from pgsnap.model import HASH_BYTES, PackId, SnapshotId
from pgsnap.patterns import regex

CONFIG = "config"
PACKS = "packs/"
SNAPSHOTS = "snapshots/"
TAGS = "tags/"
NOTES = "notes/"
DAMAGED = "damaged/"
KEYS = "keys/"
COLLECTIONS = "gc/"
"""What a gc of a repository on a remote store announces."""
FOLDERS = (PACKS, SNAPSHOTS, TAGS, NOTES, KEYS)
COLLECTED_NOTES = COLLECTIONS + NOTES
"""Of a repository on a remote store, the notes that take a snapshot away."""
LEASE = "gc/lease"
TURNS = "turns/"
"""Who writes to a remote store that takes one writer at a time."""
LOG = "log/"
"""What was published, entry by entry: outside of gc/ too."""
CLAIMS = "claims/"
"""What writers beside a gc rely on: outside of gc/, which only a gc may write."""

LOCK_FILE = "lock"
INDEX_FILE = "index.sqlite"
GITIGNORE_FILE = ".gitignore"
README_FILE = "README.md"
AUDIT_FILE = "audit.jsonl"

_OURS = regex(
    r"(?:config|packs|snapshots|tags|notes|keys|log|damaged|tmp|lock|leases|cas\.(?:lock|leases|sftp)"
    r"|audit\.jsonl(?:\.\d+)?|index\.sqlite.*|\.probe)\Z"
)
_GITIGNORE_BYTES_MAX = 1024 * 1024

_WORD_BYTES_MAX = 255
# Characters with a meaning in revisions or in a shell, or that a file system cannot store.
_BAD_TAG = regex(r"[\x00-\x20\x7f~^:@?*\[\]\\]|^[-+./]|[./]$|//|\.\.|\.lock$")


def occupants(path: Path) -> list[str]:
    """Return the files that keep a folder from becoming a repository: all but a README and a
    .gitignore, which version control may have put there."""
    return sorted({entry.name for entry in path.iterdir()} - {README_FILE, GITIGNORE_FILE})


def ignores_all(folder: Folder) -> bool:
    """Return whether a .gitignore keeps everything out of version control."""
    try:
        return b"*" in folder.read(GITIGNORE_FILE, _GITIGNORE_BYTES_MAX).split()
    except FileNotFoundError:
        return False


def refuse_links(folder: Folder) -> None:
    """Raise UntrustedPath if one of snap's names in a repository is a link, or anything but a file
    or folder: even if it is not needed now, as another command would follow it."""
    for entry in folder.entries():
        if entry.kind is Kind.OTHER and _OURS.match(entry.name):
            folder.refuse(entry.name)


def pack_name(pack: PackId) -> str:
    """Return a pack's object name: fanned out, so that no folder grows too large."""
    return f"{PACKS}{pack.hex()[:2]}/{pack.hex()}"


def snapshot_name(snapshot: SnapshotId) -> str:
    return SNAPSHOTS + snapshot.hex()


def hash_of(name: str) -> bytes | None:
    """Return the hash that an object name ends in, or None if it is a stray file."""
    last = name.rpartition("/")[2]
    if len(last) != 2 * HASH_BYTES:
        return None
    try:
        found = bytes.fromhex(last)
    except ValueError:
        return None
    # fromhex accepts upper case and spaces too.
    return found if found.hex() == last else None


def tag_name(database: str, tag: str) -> str:
    return f"{TAGS}{encode_word(database)}/{encode_word(tag)}"


def slot_name(slot: str) -> str:
    return KEYS + slot


def note_name(kind: str, note: bytes) -> str:
    return f"{NOTES}{kind}/{note.hex()}"


def encode_word(word: str) -> str:
    """Return *word* percent-encoded as one component of an object name; `decode_word` reverses
    it."""
    encoded = quote(word.encode("utf-8", "surrogateescape"), safe="")
    # "." and ".." have a meaning in paths; a leading dot would hide the file.
    return "%2E" + encoded[1:] if encoded.startswith(".") else encoded


def is_word(word: str) -> bool:
    """Return whether *word* can be a component of an object name: file systems allow 255 bytes."""
    return 0 < len(encode_word(word)) <= _WORD_BYTES_MAX


def decode_word(word: str) -> str:
    return unquote(word, errors="surrogateescape")


def check_tag(tag: str) -> str:
    """Return *tag* if it is a legal name. Raises UsageError."""
    if len(tag.encode("utf-8", "surrogateescape")) > TAG_BYTES_MAX or not is_word(tag):
        raise UsageError(
            "a tag needs a name",
            detail=f"A name has 1 to {TAG_BYTES_MAX} bytes, fewer where they are not ASCII.",
            hint=_TAG_HINT,
        )
    if _BAD_TAG.search(tag) or tag == "latest":
        raise UsageError(f'"{tag}" cannot be the name of a tag', hint=_TAG_HINT)
    if re.fullmatch(rf"[0-9a-f]{{{ID_PREFIX_MIN},{HASH_BYTES * 2}}}", tag):
        raise UsageError(
            f'"{tag}" cannot be the name of a tag',
            detail="It would be taken for the id of a snapshot.",
            hint=_TAG_HINT,
        )
    return tag


_TAG_HINT = (
    "Use letters, digits and . _ - / inside, as in pre-migration or v1.2; "
    'not "latest", and nothing that reads as a snapshot id.'
)


def check_label(label: str) -> str:
    """Return *label* if it can name a database. Raises UsageError."""
    size = len(label.encode("utf-8", "surrogateescape"))
    if size > LABEL_BYTES_MAX or not is_word(label) or any(ord(char) < 32 for char in label):
        raise UsageError(
            f"{label!r} cannot be the label of a database",
            detail=f"A label has 1 to {LABEL_BYTES_MAX} bytes and no control characters.",
            hint="Give one with: --database NAME",
        )
    return label
