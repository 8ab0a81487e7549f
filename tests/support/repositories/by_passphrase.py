"""An encrypted repository of dumps, made and used as a user would."""

from __future__ import annotations

from pathlib import Path

from support.faults.damaging import HEAD, TAIL, entry
from support.running.commandline import CommandLine

DUMPS = {
    "one": HEAD + entry("customers", 400, 1) + TAIL,
    "two": HEAD + entry("customers", 400, 1) + entry("payments", 300, 2) + TAIL,
}
SECRET_WORDS = (
    b"customers",
    b"payments",
    b"before the flood",
    b"noahs-log",
    b"ark-number-1",
    b"flooded-db",
)


def secret_file(folder: Path, name: str, content: bytes, mode: int = 0o600) -> Path:
    """Write a file as a secret is kept."""
    file = folder / name
    file.write_bytes(content)
    file.chmod(mode)
    return file


def refused(snap: CommandLine, *words: str, code: int = 12) -> dict[str, str]:
    """Run snap, which must refuse with *code* and a hint; return the error."""
    result = snap(*words, "--json")
    assert result.code == code, result.err
    assert result.out == ""
    found: dict[str, str] = result.error
    assert found["hint"]
    return found


class Encrypted:
    """The repository of a `snap` that knows its passphrase."""

    def __init__(self, snap: CommandLine) -> None:
        self.snap = snap
        self.path = snap.work / "database" / "backups"
        self.passphrase = secret_file(snap.folder, "passphrase", b"open sesame\n")
        snap.setenv("SNAP_PASSPHRASE_FILE", str(self.passphrase))
        self.made = snap.ok("init", "--encrypt", "--json").json

    def commit(self, name: str, *more: str) -> str:
        """Commit the dump *name* and return the snapshot's id."""
        file = self.snap.folder / f"{name}.sql"
        file.write_text(DUMPS[name])
        words = ("-m", "before the flood", "--database", "flooded-db", "--file", str(file))
        found: str = self.snap.ok("commit", *words, *more, "--json").json["id"]
        return found

    def every_byte(self) -> bytes:
        """Return the names and contents of all its files."""
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file()]
        names = (str(path.relative_to(self.path)).encode() for path in files)
        return b"\n".join([*names, *(path.read_bytes() for path in files)])
