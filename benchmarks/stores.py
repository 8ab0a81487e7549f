"""The contenders of bench_storage.py: each is given the same dump files, one version at a time."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bench_commit import init_repository
from bench_read import one_thread
from measure import Command, Measurement
from peers import Peer, installed_peers
from setting import Setting, stored_bytes
from workshop import Version

GZIP = "gzip"
ZSTD = "zstd -3"
PATCH = "zstd --patch-from"
SNAP = "snap"
# zstd takes window sizes as powers of two; less than the first is no long distance to it.
WINDOW_LOG_MIN = 27
WINDOW_LOG_MAX = 31


class Store(Protocol):
    """A way to keep versions of a dump. Versions come in their order, from 1 on."""

    @property
    def name(self) -> str: ...
    def takes(self, version: Version) -> bool:
        """Tell whether this version is stored at all: gzip is slow."""

    def store(self, version: Version) -> Command:
        """Return the command that stores a version."""

    def stored(self, version: Version, measurement: Measurement) -> dict[str, int]:
        """Return the bytes of all that is stored now: `total`, and parts where there are some."""

    def read(self, number: int) -> Command | None:
        """Return the command that writes a stored version to /dev/null; None where none is kept."""


class Snap:
    """snap, with its defaults."""

    name = SNAP

    def __init__(self, bench: Setting) -> None:
        self._bench = bench
        self._repository = bench.scratch / "snap-storage" / "repository"
        self._ids: dict[int, str] = {}
        init_repository(bench, self._repository)

    def takes(self, version: Version) -> bool:
        return True

    def store(self, version: Version) -> Command:
        what = ("--file", str(version.dump), "--database", version.label)
        return self._command("commit", *what, "-m", f"day {version.number}", "--json", stdout=None)

    def stored(self, version: Version, measurement: Measurement) -> dict[str, int]:
        self._ids[version.number] = json.loads(measurement.output)["id"]
        total = stored_bytes(self._repository)
        packs = stored_bytes(self._repository / "packs")
        index = sum(map(stored_bytes, self._repository.glob("index.sqlite*")))
        return {"total": total, "packs": packs, "index": index, "other": total - packs - index}

    def read(self, number: int) -> Command | None:
        return self._command("cat", self._ids[number])

    def _command(self, *arguments: str, **more: object) -> Command:
        argv = self._bench.snap(self._repository, *arguments)
        return self._bench.command(argv, folder=self._repository.parent, **more)


class PeerStore:
    """restic or borg."""

    def __init__(self, peer: Peer) -> None:
        self.name = peer.name
        self._peer = peer
        peer.init()

    def takes(self, version: Version) -> bool:
        return True

    def store(self, version: Version) -> Command:
        return self._peer.store_file(f"day-{version.number:02d}", version.dump)

    def stored(self, version: Version, measurement: Measurement) -> dict[str, int]:
        return {"total": stored_bytes(self._peer.repository)}

    def read(self, number: int) -> Command | None:
        return self._peer.read(f"day-{number:02d}")


class Files:
    """One compressed file for each version. Only those of the *kept* versions stay on disk."""

    def __init__(
        self,
        bench: Setting,
        name: str,
        pack: tuple[str, ...],
        unpack: tuple[str, ...],
        kept: frozenset[int],
        taken: frozenset[int] | None = None,
    ) -> None:
        self.name = name
        self._bench = bench
        self._pack = pack
        self._unpack = unpack
        self._kept = kept
        self._taken = taken
        self._folder = bench.folder(f"files-{name.replace(' ', '')}")
        self._total_bytes = 0

    def takes(self, version: Version) -> bool:
        return self._taken is None or version.number in self._taken

    def store(self, version: Version) -> Command:
        packed = self._path(version.number)
        return self._bench.command(self._pack, stdin=version.dump, stdout=packed)

    def stored(self, version: Version, measurement: Measurement) -> dict[str, int]:
        packed = self._path(version.number)
        one = packed.stat().st_size
        self._total_bytes += one
        if version.number not in self._kept:
            packed.unlink()
        return {"total": self._total_bytes, "one": one}

    def read(self, number: int) -> Command | None:
        if number not in self._kept:
            return None
        return self._bench.command((*self._unpack, str(self._path(number))))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}"


class Patches:
    """The floor: the whole file as a patch to the whole file before. Nobody could read far back."""

    name = PATCH

    def __init__(self, bench: Setting) -> None:
        self._bench = bench
        self._before: Version | None = None
        self._patch = bench.scratch / "patch.zst"
        self._total_bytes = 0

    def takes(self, version: Version) -> bool:
        return True

    def store(self, version: Version) -> Command:
        before, self._before = self._before, version
        larger = max(version.bytes_, before.bytes_ if before else 0)
        window = min(max(larger.bit_length(), WINDOW_LOG_MIN), WINDOW_LOG_MAX)
        zstd = ("zstd", "-q", "-3", f"--long={window}", "-f", "-o", str(self._patch))
        base = ("--patch-from", str(before.dump)) if before else ()
        return self._bench.command((*zstd, *base, str(version.dump)))

    def stored(self, version: Version, measurement: Measurement) -> dict[str, int]:
        one = self._patch.stat().st_size
        self._total_bytes += one
        self._patch.unlink()
        return {"total": self._total_bytes, "one": one}

    def read(self, number: int) -> Command | None:
        return None


def stores(
    bench: Setting, versions: int, gzipped: frozenset[int] | None, *, with_peers: bool
) -> list[Store]:
    """Return the contenders, with nothing stored yet, and say which are not installed.

    *gzipped* are the versions that gzip is given; None for all.
    """
    kept = frozenset({1, versions})
    found: list[Store] = [Snap(bench)] if bench.snap_argv else []
    if with_peers:
        found += [PeerStore(peer) for peer in installed_peers(bench)]
    if shutil.which("zstd"):
        unpack = ("zstd", "-q", "-d", "-c", *one_thread())
        found.append(Files(bench, ZSTD, ("zstd", "-q", "-3", "-c"), unpack, kept))
        found.append(Patches(bench))
    else:
        bench.say("zstd is not installed: left out")
    if with_peers and shutil.which("gzip"):
        found.append(Files(bench, GZIP, ("gzip", "-c"), ("gunzip", "-c"), kept, gzipped))
    return found


def into(command: Command, path: Path) -> Command:
    """Return *command* with its output in a file."""
    return replace(command, stdout=path)
