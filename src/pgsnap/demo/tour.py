"""The tour: snap's main job, step by step, on a throw-away PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.demo import sample
from pgsnap.demo.stage import DemoFailed, Narrator, Stage, TourReport


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
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="snap-demo-"))
    narrator = Narrator(say, show_output=show_output, pause=pause)
    say("Starting a private PostgreSQL …")
    try:
        with Cluster(binaries, fsync=False) as cluster:
            return _take(cluster, Stage(cluster, folder, narrator), narrator, scale, started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take(
    cluster: Cluster, stage: Stage, narrator: Narrator, scale: float, started: float
) -> TourReport:
    version = stage.server_version()
    narrator.step(f"A private PostgreSQL {version} is running. An application's database goes in.")
    before, dump_bytes = stage.load_and_show(scale)

    narrator.step("A repository, and a first snapshot.")
    stage.snap("init")
    stage.snap("commit", "-m", "first")

    narrator.step("The migration, with a snapshot before it and a look at what it changed.")
    narrator.say("  Committed again, the unchanged database costs next to nothing.")
    stage.write_program("migrate", sample.bad_migration())
    stage.snap("run", "--tag", "pre-migration", "--diff", "--", "./migrate")
    stage.show_counts()

    narrator.step("It was not a good one. The damage is committed too: nobody looked.")
    stage.snap("commit", "-m", "after the migration")
    stage.snap("log")

    narrator.step("Somebody noticed. Back to before, into the live database, in one step.")
    stage.snap("restore", "pre-migration", "--yes")
    stage.show_counts()
    after = stage.compare(before)

    narrator.step("Even the restore can be taken back, and so can that.")
    stage.snap("undo", "--yes")
    stage.show_counts()
    stage.snap("undo", "--yes")
    stage.show_counts()
    if stage.digest()[0] != before:
        raise DemoFailed("the database after two undos is not the one before")

    repository = stage.work / "database" / "backups"
    repository_bytes = sum(file.stat().st_size for file in repository.rglob("*") if file.is_file())
    narrator.say("")
    narrator.say("That was all on a throw-away server; it is gone now. The repository with all")
    narrator.say(f"its snapshots took {repository_bytes / 1e6:.0f} MB.")
    narrator.say('On your own database: export DATABASE_URL=…, snap init, snap commit -m "first"')
    narrator.say("The same with everything lost but an encrypted copy: snap demo --offsite")
    seconds = time.monotonic() - started
    return TourReport(version, dump_bytes, before, after, repository_bytes, seconds)
