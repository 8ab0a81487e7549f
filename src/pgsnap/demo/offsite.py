"""The tour of what an off-site copy is for: everything is lost but an encrypted repository on an
object store, and comes back from its URL, its credentials and one passphrase."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.demo.object_server import BUCKET, ObjectServer, object_server, require_server
from pgsnap.demo.stage import DATABASE, Narrator, Stage, TourReport
from pgsnap.stores.opening import open_store

URL = f"s3://{BUCKET}/{DATABASE}"
_PASSPHRASE = "secret"
_UNLOCK = ("--passphrase-command", f"cat ../{_PASSPHRASE}")
_CHANGE = "UPDATE shop.products SET price = round(price * 1.1, 2)"


def run(
    binaries: Binaries,
    *,
    say: Callable[[str], None],
    scale: float = 1.0,
    show_output: bool = True,
    pause: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> TourReport:
    """Run the tour: *say* gets its lines, the commands write to this process's output.

    Everything that it creates is removed afterwards. Raises DemoFailed, ClusterError.
    """
    require_server()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="snap-demo-"))
    try:
        with object_server(folder) as server:
            tour = _Tour(
                binaries, folder, server, Narrator(say, show_output=show_output, pause=pause)
            )
            return tour.take(scale, started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Tour:
    def __init__(
        self, binaries: Binaries, folder: Path, server: ObjectServer, narrator: Narrator
    ) -> None:
        self._binaries = binaries
        self._folder = folder
        self._server = server
        self._narrator = narrator
        self._passphrase = secrets.token_urlsafe(24)

    def take(self, scale: float, started: float) -> TourReport:
        narrator = self._narrator
        before, dump_bytes = self._first_machine(scale)

        narrator.step("The building burns down: server, repository, settings, all of it.")
        shutil.rmtree(self._folder / "first")
        narrator.say("  What is left: the URL, the credentials and one passphrase, on paper.")

        after, version = self._second_machine(before)
        _, stored = self._stored()
        narrator.say("")
        narrator.say("That was all on throw-away servers; they are gone now. The repository on the")
        narrator.say(f"store took {stored / 1e6:.1f} MB.")
        narrator.say("On your own database: docs/offsite.md has the set-up for each kind of store,")
        narrator.say("docs/rollback.md the disaster step by step.")
        seconds = time.monotonic() - started
        return TourReport(version, dump_bytes, before, after, stored, seconds)

    def _first_machine(self, scale: float) -> tuple[str, int]:
        narrator = self._narrator
        with Cluster(self._binaries, fsync=False) as cluster:
            stage = self._stage(cluster, "first")
            version = stage.server_version()
            narrator.step(f"A private PostgreSQL {version}, with an application's database.")
            stage.load_and_show(scale)

            narrator.step("A repository here, and a snapshot.")
            stage.snap("init")
            stage.snap("commit", "-m", "first")

            narrator.step("An encrypted one on an S3 server, here on loopback: the off-site copy.")
            narrator.say("  The environment holds the credentials: AWS_ACCESS_KEY_ID and so on.")
            stage.snap("init", URL, "--encrypt", *_UNLOCK)
            stage.snap("remote", "add", "offsite", URL)
            line = f'passphrase_file = "{stage.work.parent / _PASSPHRASE}"'
            narrator.say(f"  $ echo '{line}' >> snap.toml")
            with (stage.work / "snap.toml").open("a", encoding="utf-8") as settings:
                settings.write(f"{line}\n")
            stage.snap("push", "offsite")

            narrator.step("All prices go up. Only what is new is encrypted and sent.")
            cluster.psql(_CHANGE, DATABASE)
            stage.show_counts()
            before, dump_bytes = stage.digest()
            stage.snap("commit", "-m", "new prices")
            stage.snap("push", "offsite")

            narrator.step("What the store holds. Without the key nobody can read any of it.")
            kinds, stored = self._stored()
            counts = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
            narrator.say(f"  {stored / 1e6:.1f} MB in {kinds.total()} objects: {counts}")
            return before, dump_bytes

    def _second_machine(self, before: str) -> tuple[str, str]:
        narrator = self._narrator
        with Cluster(self._binaries, fsync=False) as cluster:
            stage = self._stage(cluster, "second")
            narrator.step("Another machine, with an empty PostgreSQL. Somebody guesses first.")
            stage.snap("log", "--repo", URL, "--passphrase-command", "echo password", code=12)

            narrator.step("The right passphrase, and everything is back: roles, rights and rows.")
            stage.snap("clone", URL, *_UNLOCK)
            stage.snap("log", "--oneline")
            stage.snap("restore", "latest", "--create-roles", "--yes")
            stage.show_counts()
            return stage.compare(before), stage.server_version()

    def _stage(self, cluster: Cluster, name: str) -> Stage:
        folder = self._folder / name
        stage = Stage(cluster, folder, self._narrator, self._server.environment)
        secret = folder / _PASSPHRASE
        secret.touch(mode=0o600)
        secret.write_text(f"{self._passphrase}\n")
        return stage

    def _stored(self) -> tuple[Counter[str], int]:
        """Return how many objects of each kind are on the store, and all their bytes."""
        bucket = open_store(f"s3://{BUCKET}", self._server.environment)
        objects = list(bucket.list(f"{DATABASE}/"))
        kinds = Counter(one.name.split("/")[1] for one in objects)
        return kinds, sum(one.object_bytes for one in objects)
