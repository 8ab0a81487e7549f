"""A repository on a store that a URL names, made and used as a user would."""

from __future__ import annotations

from pathlib import Path

from support.repositories.by_passphrase import DUMPS, secret_file
from support.running.commandline import CommandLine


class Site:
    """A repository on a store that a URL names; *folder* is where its objects are."""

    def __init__(self, snap: CommandLine, *, encrypted: bool) -> None:
        self.snap = snap
        self.folder = snap.folder / "store"
        self.url = self.folder.as_uri()
        self.encrypts = ["--encrypt"] if encrypted else []
        if encrypted:
            secret = secret_file(snap.folder, "passphrase", b"open sesame\n")
            snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
        self.made = snap.ok("init", *self.encrypts, self.url, "--json").json

    def use(self) -> None:
        """Let the repository be the one of all commands."""
        (self.snap.work / "snap.toml").write_text(f'repository = "{self.url}"\n')

    def commit(self, name: str, *more: str) -> str:
        file = self.snap.folder / f"{name}.sql"
        file.write_text(DUMPS[name])
        words = ("-m", "x", "--database", "flooded-db", "--file", str(file), *more)
        found: str = self.snap.ok("commit", *words, "--json").json["id"]
        return found

    def be_another_host(self) -> None:
        for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
            self.snap.setenv(variable, str(self.snap.folder / "another host"))

    def files(self, folder: str) -> list[Path]:
        return sorted(one for one in (self.folder / folder).rglob("*") if one.is_file())
