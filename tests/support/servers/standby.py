"""A streaming standby of a private cluster, which can be read."""

from __future__ import annotations

import time
from pathlib import Path

from pgsnap.cluster.cluster import Cluster

_SECONDS = 60.0


class Standby(Cluster):
    """Made of *primary*, which has to run, and following it from then on."""

    def __init__(self, primary: Cluster) -> None:
        settings = {
            # What reads here holds up what the primary clears away, as where long dumps are usual.
            "hot_standby_feedback": "on",
            # What pg_basebackup writes has words that an older libpq of the server's lacks.
            "primary_conninfo": f"host={primary.folder} port={primary.port} user=postgres",
        }
        super().__init__(primary.binaries, fsync=False, settings=settings)
        self.primary = primary

    def _initdb(self, password_file: Path) -> None:
        argv = [self.binaries.program("pg_basebackup"), "-D", str(self.data_folder)]
        argv += ["-d", self.primary.dsn(), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        self._run(argv, as_server=True)

    def catch_up(self) -> None:
        """Return when all that the primary has written by now was replayed here."""
        # A commit that nobody waits for may lie in memory: a switch writes it out.
        position = self.primary.psql("SELECT pg_switch_wal()")
        deadline = time.monotonic() + _SECONDS
        while self.psql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn") != "t":
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.02)
