"""A live, a kept and a scratch database in any state, commands at random, and what must hold: none
leaves a worse live database than it found."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pgsnap.sessions.base import ident, literal
from support.restoring.dropping import half_drop
from support.running.commandline import CommandLine, Result
from support.servers.databases import Database

STATES = ("valid", "half-dropped", "missing", "closed", "limit 0", "template", "another")
COMMANDS = (
    ("undo", "--yes"),
    ("undo", "--yes", "--no-safety-snapshot"),
    ("undo", "--discard", "--yes"),
    ("restore", "one", "--yes"),
    ("restore", "one", "--yes", "--no-safety-snapshot"),
    ("restore", "one", "--yes", "--discard-old"),
    ("restore", "one", "--yes", "--no-safety-snapshot", "--discard-old"),
    ("restore", "two", "--yes", "--no-safety-snapshot"),
    ("commit", "-m", "now"),
    ("drill", "one"),
    ("doctor",),
    ("check",),
    ("log",),
)
# What a database holds that somebody gave the name of a kept one.
STRANGER = "stranger"
# Codes by which a command says what it did not do; 70 is a bug.
_FORESEEN = {0, 4, 10, 20, 30, 40, 65}


@dataclass(frozen=True)
class Seen:
    """What the server has: of each database, whether it is whole, open to all, and its contents."""

    whole: frozenset[str]
    open: frozenset[str]
    contents: dict[str, str]


class World:
    """One database with a snapshot and a kept one, and the command line that is let loose on it."""

    def __init__(self, snap: CommandLine, database: Database) -> None:
        self.snap = snap
        self.database = database
        self.cluster = database.cluster
        self.name = database.name
        self.trace: list[str] = []
        snap.setenv("DATABASE_URL", database.dsn)
        snap.use_tools_of(database.cluster)
        database.psql("CREATE TABLE t (a text); INSERT INTO t VALUES ('one')")
        snap.ok("init")
        # A restore of "two" clones the kept database where that is as it was.
        snap.ok("commit", "-m", "one", "--tag", "one")
        database.psql("UPDATE t SET a = 'before'")
        snap.ok("commit", "-m", "two")
        snap.ok("commit", "-m", "two", "--tag", "two")
        self.kept = str(snap.ok("restore", "one", "--yes", "--json").json["kept"])
        self.scratch = f"{self.name}__snap_0123456789"
        self._make(self.scratch, "scratch")
        self.cluster.psql(
            f"COMMENT ON DATABASE {ident(self.scratch)} IS "
            + literal('{"snap": "scratch", "host": "gone", "pid": 1}')
        )

    def _make(self, name: str, value: str) -> None:
        self.cluster.create_database(name)
        made = Database(self.cluster, name)
        made.psql(f"CREATE TABLE t (a text); INSERT INTO t VALUES ({literal(value)})")

    def put(self, name: str, state: str) -> None:
        """Bring a database into a state."""
        self.trace.append(f"{name} is {state}")
        changes = {
            "closed": "ALLOW_CONNECTIONS false",
            "limit 0": "CONNECTION LIMIT 0",
            "template": "IS_TEMPLATE true",
        }
        if state == "half-dropped":
            half_drop(self.cluster, name)
        elif state in ("missing", "another"):
            self.cluster.drop_database(name)
            if state == "another":
                self._make(name, "other" if name == self.name else STRANGER)
        elif state != "valid":
            self.cluster.psql(f"ALTER DATABASE {ident(name)} {changes[state]}")

    def look(self) -> Seen:
        """Ask the server; also those that are closed are looked into."""
        rows = self.cluster.psql(
            "SELECT datname, datallowconn, datconnlimit FROM pg_database"
            f" WHERE datname = {literal(self.name)}"
            f" OR starts_with(datname, {literal(self.name + '__snap_kept_')})"
        )
        whole, opened, contents = set(), set(), {}
        for row in rows.splitlines():
            name, is_open, limit = row.split("|")
            if limit == "-2":
                continue
            whole.add(name)
            if is_open == "t" and limit != "0":
                opened.add(name)
            contents[name] = self._value(name, is_open=is_open == "t")
        return Seen(frozenset(whole), frozenset(opened), contents)

    def _value(self, name: str, *, is_open: bool) -> str:
        if is_open:
            return Database(self.cluster, name).psql("SELECT a FROM t")
        self.cluster.psql(f"ALTER DATABASE {ident(name)} ALLOW_CONNECTIONS true")
        try:
            return Database(self.cluster, name).psql("SELECT a FROM t")
        finally:
            self.cluster.psql(f"ALTER DATABASE {ident(name)} ALLOW_CONNECTIONS false")

    def run(self, command: tuple[str, ...]) -> Result:
        self.trace.append("snap " + " ".join(command))
        result = self.snap(*command)
        self.trace.append(f"  {result.code}: {result.err.strip()[-300:]}")
        return result

    def check(self, command: tuple[str, ...], before: Seen, after: Seen, result: Result) -> None:
        """Hold what must hold of any command."""
        live = self.name
        assert result.code in _FORESEEN
        if live in before.whole:
            assert live in after.whole, "the live database is not whole any more"
        else:
            # As long as there is no live one, no copy of it goes.
            copies = {n for n in before.whole if n != live}
            assert live in after.whole or copies <= after.whole, "the last copies went"
        if live in before.open and live not in after.open:
            assert command[:2] == ("undo", "--yes")
            assert "lets nobody in" in result.err or "only superusers" in result.err
        if before.contents.get(live) != after.contents.get(live):
            assert command[0] in ("undo", "restore")
            assert "--discard" not in command
            assert result.code == 0
        if command[0] == "restore" and result.code == 0:
            assert after.contents[live] == {"one": "one", "two": "before"}[command[1]]
        strangers = {n for n, value in before.contents.items() if value == STRANGER}
        assert strangers == {n for n, value in after.contents.items() if value == STRANGER}


def let_loose(snap: CommandLine, database: Database, seed: int, *, steps: int) -> None:
    """Bring the three databases into random states, and run *steps* commands."""
    chance = random.Random(seed)
    world = World(snap, database)
    try:
        world.put(world.name, chance.choice(STATES))
        world.put(world.kept, chance.choice(STATES))
        world.put(world.scratch, chance.choice(STATES[:-1]))
        for _ in range(steps):
            command = chance.choice(COMMANDS)
            before = world.look()
            result = world.run(command)
            world.check(command, before, world.look(), result)
            if chance.random() < 0.15 and world.name in before.whole:
                kept = [n for n in world.look().whole if n != world.name]
                if kept:
                    world.put(chance.choice(kept), "half-dropped")
    except AssertionError as error:
        error.add_note("\n".join(world.trace))
        raise
