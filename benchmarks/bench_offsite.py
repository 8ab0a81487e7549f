"""What going off-site takes: `python benchmarks/bench_offsite.py --megabytes 100`.

A repository is pushed to an S3 server on loopback (ministack, one for all contenders), beside
restic, which stores the same dump there, and rclone, which copies the repository's bytes. Then: one
more snapshot after a change of 1 %, restores from the remote and from the folder, and a remote of
many snapshots with a warm cache. Requests are those that snap's own counters counted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from measure import Case, Command, CommandFailed, Measurement, Series, interleave, run
from peers import THROW_AWAY_PASSWORD
from pgsnap.cli.wiring.user_folders import cache_folder
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.stores.counting import Counter, Counts
from pgsnap.stores.opening import open_store
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.sync.transfer import transfer
from report import Goal, Section, Table, document, goal_at_most, markdown, megabytes, mib, seconds
from setting import Setting, SettingError, arguments, setting

DATABASE = "bench_app"
RESTORED = "bench_restored"
BUCKET = "bucket"
MEMORY_GOAL_BYTES = 256 << 20
CHANGES = (
    "UPDATE users SET city = 'Sion' WHERE id % 100 = 7",
    "UPDATE orders SET state = 'lost' WHERE id % 100 = 7",
    "UPDATE order_items SET quantity = quantity + 1 WHERE id % 100 = 7",
    "UPDATE events SET kind = 'lost' WHERE id % 100 = 7",
    "UPDATE chat SET body = body || '!' WHERE id % 100 = 7",
)
LOCAL = "snap restore, from the folder"
REMOTE = "snap restore, from the remote"
PASS = Command(((sys.executable, "-c", "pass"),))
SMALL = (
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.a (x integer);\n\n\n"
    "COPY public.a (x) FROM stdin;\n{}\n\\.\n\n\n--\n-- PostgreSQL database dump complete\n--\n"
)


@dataclass(frozen=True, slots=True)
class Store:
    """The server of all contenders."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, bench: Setting, **more: str) -> dict[str, str]:
        own = bench.environment(
            AWS_ENDPOINT_URL=self.endpoint,
            AWS_ACCESS_KEY_ID="benchmark",
            AWS_SECRET_ACCESS_KEY="benchmark",
            AWS_REGION="us-east-1",
            DATABASE_URL=bench.server.dsn(DATABASE),
            XDG_CACHE_HOME=str(bench.scratch / "cache"),
            XDG_STATE_HOME=str(bench.scratch / "state"),
            **more,
        )
        return {
            name: value for name, value in own.items() if not name.endswith(("_proxy", "_PROXY"))
        }

    @staticmethod
    def url(prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"


@contextlib.contextmanager
def object_server(folder: Path) -> Iterator[Store]:
    """Run ministack, which `make` installs, with an empty bucket."""
    program = Path(sys.executable).with_name("ministack")
    if not program.exists():
        raise SettingError(
            f"there is no {program}: run `{sys.executable} -m pip install ministack`"
        )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    environment = {**os.environ, "GATEWAY_PORT": str(port), "GATEWAY_HOST": "127.0.0.1"}
    with (folder / "ministack.log").open("wb") as log:
        server = subprocess.Popen([program], env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SettingError("ministack did not start")
            time.sleep(0.1)
        store = Store(port)
        request = urllib.request.Request(f"{store.endpoint}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=30):
            yield store
    finally:
        server.kill()
        server.wait()


class Bench:
    """The repository, its remotes and the contenders."""

    def __init__(self, bench: Setting, store: Store) -> None:
        self.bench = bench
        self.store = store
        self.repository = bench.scratch / "repository"
        self.dump = bench.scratch / "dump.sql"
        self.pushes = 0
        self.peak: dict[str, int | None] = {}

    def snap(self, *arguments: str, repository: Path | str | None = None) -> Command:
        where = Path(repository) if isinstance(repository, Path) else repository or self.repository
        assert self.bench.snap_argv
        argv = (*self.bench.snap_argv, "--repo", str(where), "--no-progress", *arguments)
        return Command(
            (argv,), environment=self.store.environment(self.bench), folder=self.bench.scratch
        )

    def run(self, name: str, *arguments: str, repository: str | None = None) -> Measurement:
        one = run(self.snap(*arguments, repository=repository))
        self.note(name, one.own_peak_bytes)
        self.bench.say(f"{name:30} {one.wall_seconds:8.2f} s")
        return one

    def note(self, name: str, peak: int | None) -> None:
        self.peak[name] = max(self.peak.get(name) or 0, peak or 0) or None

    # -- the first push --------------------------------------------------------------------------

    def prepare_push(self, *, is_encrypted: bool = False) -> None:
        """Make a remote that has nothing, and name it in snap.toml."""
        if not is_encrypted:
            self.pushes += 1
        url = self.store.url(f"sealed-{self.pushes}" if is_encrypted else f"push-{self.pushes}")
        key = self.bench.scratch / "key"
        key.touch(mode=0o600)
        key.write_bytes(bytes(range(32)))
        opened_by = ("--encrypt", "--key-file", str(key)) if is_encrypted else ()
        run(self.snap("init", *opened_by, repository=url))
        settings = f'[remotes.offsite]\nurl = "{url}"\n'
        settings += f'key_file = "{key}"\n' if is_encrypted else ""
        (self.bench.scratch / "snap.toml").write_text(settings)

    def restic(self) -> Case:
        environment = self.store.environment(
            self.bench,
            RESTIC_REPOSITORY=f"s3:{self.store.endpoint}/{BUCKET}/restic",
            RESTIC_PASSWORD=THROW_AWAY_PASSWORD,
            RESTIC_CACHE_DIR=str(self.bench.scratch / "restic-cache"),
        )
        number = iter(range(1000))

        def fresh(*words: str) -> Command:
            return Command((("restic", *words),), environment=environment, stdin=self.dump)

        def prepare() -> None:
            environment["RESTIC_REPOSITORY"] = (
                f"s3:{self.store.endpoint}/{BUCKET}/restic-{next(number)}"
            )
            run(Command((("restic", "init", "--quiet"),), environment=environment))

        words = ("backup", "--quiet", "--stdin", "--stdin-filename", "dump.sql")
        return Case("restic backup --stdin", lambda: fresh(*words), prepare)

    def rclone(self) -> Case:
        number = iter(range(1000))
        program = str(Path(sys.executable).with_name("rclone"))
        environment = self.store.environment(self.bench)
        settings = {"PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": self.store.endpoint}
        settings |= {"REGION": "us-east-1", "NO_CHECK_BUCKET": "true"}
        environment |= {f"RCLONE_S3_{name}": value for name, value in settings.items()}
        environment["RCLONE_CONFIG"] = os.devnull

        def copy() -> Command:
            target = f":s3:{BUCKET}/rclone-{next(number)}"
            words = ("copy", "--transfers", "4", str(self.repository), target)
            return Command(((program, *words),), environment=environment)

        return Case("rclone copy", copy)

    def first_push(self) -> dict[str, Series]:
        push = Case("snap push", lambda: self.snap("push", "offsite"), self.prepare_push)
        sealed = Case(
            "snap push, encrypted there",
            lambda: self.snap("push", "offsite"),
            lambda: self.prepare_push(is_encrypted=True),
        )
        cases = [push, sealed, self.rclone()]
        if shutil.which("restic"):
            cases.insert(2, self.restic())
        else:
            self.bench.say("restic is not installed: left out")
        series = interleave(cases, self.bench.rounds, say=self.bench.say)
        for name in ("snap push", "snap push, encrypted there"):
            self.note(name, series[name].own_peak_bytes)
        return series

    # -- requests --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def remote(self, prefix: str, counter: Counter) -> Iterator[Repository]:
        environment = self.store.environment(self.bench)
        os.environ["XDG_CACHE_HOME"] = environment["XDG_CACHE_HOME"]
        url = self.store.url(prefix)
        place = RemotePlace(url, open_store(url, environment, counter=counter))
        with Repository.open(place, index_folder=cache_folder()) as repo:
            yield repo

    def counted_push(self, source: Path, prefix: str) -> tuple[Counts, int, int]:
        """Push in this process. Return requests, packs and their bytes."""
        counter = Counter()
        with Repository.open(source) as mine, self.remote(prefix, counter) as theirs:
            report = transfer(mine, theirs, all_tags=False)
        return counter.counts(), report.packs, report.sent_bytes

    # -- restores --------------------------------------------------------------------------------

    def restores(self, prefix: str, sealed: Mapping[str, str] | None = None) -> dict[str, Series]:
        """Measure restores from the folder and the remote, and from those of *sealed*: the name
        and place of encrypted repositories."""

        def case(name: str, repository: str, *key: str) -> Case:
            words = ("restore", "latest", "--to", RESTORED, "--yes", *key)
            return Case(
                name,
                lambda: self.snap(*words, repository=repository),
                prepare=lambda: self.bench.server.drop(RESTORED),
            )

        cases = [
            case(LOCAL, str(self.repository)),
            case(REMOTE, self.store.url(prefix)),
        ]
        key = ("--key-file", str(self.bench.scratch / "key"))
        cases += [case(name, place, *key) for name, place in (sealed or {}).items()]
        series = interleave(cases, self.bench.rounds, say=self.bench.say)
        for name, one in series.items():
            self.note(name, one.own_peak_bytes)
        return series

    # -- many snapshots --------------------------------------------------------------------------

    def many(self, count: int) -> tuple[Series, Counts]:
        """Return `snap log -n 1` with a warm cache, and the requests of opening."""
        path = self.bench.scratch / "many"
        Repository.create(path)
        file = self.bench.scratch / "small.sql"
        with Repository.open(path) as repo:
            for number in range(count):
                file.write_text(SMALL.format(number), "ascii")
                commit(repo, FileSource(file), database="many", message=f"number {number}")
        run(self.snap("init", repository=self.store.url("many")))
        self.counted_push(path, "many")
        url = self.store.url("many")
        # The first one fills the cache.
        runs = [self.run("snap log -n 1", "log", "-n", "1", repository=url) for _ in range(4)]
        counter = Counter()
        with self.remote("many", counter) as repo:
            repo.newest(None, 1)
        return Series("snap log -n 1", "", tuple(runs[1:])), counter.counts()


def counted(counts: Counts) -> str:
    return f"{counts.put} PUT, {counts.list} LIST, {counts.get} GET, {counts.delete} DELETE"


def measure(bench: Setting, store: Store, snapshots: int) -> Section:
    of = Bench(bench, store)
    bench.load(DATABASE, bench.megabytes)
    run(Command((bench.server.pg_dump(DATABASE),), stdout=of.dump, environment=bench.environment()))
    of.run("snap init", "init")
    of.run("snap commit", "commit", "-m", "first")
    first = of.first_push()
    prefix = f"push-{of.pushes}"
    of.prepare_push()
    first_counts, first_packs, first_bytes = of.counted_push(of.repository, f"push-{of.pushes}")
    with bench.server.connect(DATABASE) as connection:
        for change in CHANGES:
            connection.execute(change.encode())
    before = pack_bytes(of.repository)
    of.run("snap commit", "commit", "-m", "1 % changed")
    new_bytes = pack_bytes(of.repository) - before
    next_counts, next_packs, next_bytes = of.counted_push(of.repository, prefix)
    restores = of.restores(prefix)
    opened, open_counts = of.many(snapshots)
    push, rclone = first["snap push"], first["rclone copy"]
    restic = first.get("restic backup --stdin")
    local, remote = restores[LOCAL], restores[REMOTE]
    start = Series("python -c pass", "", tuple(run(PASS) for _ in range(3)))
    timed = (*first.values(), *restores.values(), opened, start)
    rows = [
        (one.name, seconds(one.wall_seconds), seconds(one.cpu_seconds), mib(one.own_peak_bytes))
        for one in timed
    ]
    requests = [
        ("push of everything", counted(first_counts), str(first_packs), megabytes(first_bytes)),
        (
            "push of one more, 1 % changed",
            counted(next_counts),
            str(next_packs),
            megabytes(next_bytes),
        ),
        (f"opening, {snapshots:,} snapshots, warm cache", counted(open_counts), "-", "-"),
    ]
    memory = [(name, mib(peak)) for name, peak in of.peak.items()]
    worst = max((peak for peak in of.peak.values() if peak), default=None)
    beyond = next_counts.requests - next_packs
    goals = [
        goal_at_most("snap push / rclone copy: at most 1.00", push.ratio_to(rclone), 1.0),
        goal_at_most(
            "one more snapshot: sent / stored here: at most 1.10", next_bytes / new_bytes, 1.1
        ),
        goal_at_most("one more snapshot: requests beyond packs: at most 20", beyond, 20),
        goal_at_most("restore from the remote / local: at most 1.15", remote.ratio_to(local), 1.15),
        goal_at_most("opening with a warm cache: at most 1 s", opened.wall_seconds, 1.0, " s"),
        goal_at_most("opening with a warm cache: at most 10 requests", open_counts.requests, 10),
        goal_at_most(
            "memory of every command: at most 256 MiB", (worst or 0) / (1 << 20), 256, " MiB"
        ),
    ]
    if restic:
        goals.insert(
            0, goal_at_most("snap push / restic backup: at most 0.50", push.ratio_to(restic), 0.5)
        )
    else:
        goals.insert(
            0, Goal("snap push / restic backup: at most 0.50", "restic not installed", False)
        )
    return Section(
        "offsite",
        (
            Table(
                "Off-site: seconds",
                ("what", "seconds", "processor seconds", "own peak MiB"),
                tuple(rows),
            ),
            Table(
                "Off-site: requests",
                ("what", "requests", "packs", "bytes of packs"),
                tuple(requests),
            ),
            Table("Off-site: memory", ("command", "own peak MiB"), tuple(memory)),
        ),
        tuple(goals),
        timed,
        {"new_bytes": new_bytes, "next_bytes": next_bytes},
    )


def pack_bytes(repository: Path) -> int:
    return sum(one.stat().st_size for one in (repository / "packs").rglob("*") if one.is_file())


def main() -> int:
    parser = arguments(__doc__.partition("\n")[0])
    parser.set_defaults(megabytes=100)
    parser.add_argument("--snapshots", type=int, default=2000, help="of the remote of many")
    options = parser.parse_args()
    try:
        with setting(options) as bench, object_server(bench.scratch) as store:
            section = measure(bench, store, options.snapshots)
            facts = {"megabytes": options.megabytes, "rounds": options.rounds}
            print(markdown(document([section], bench, facts)))
    except (SettingError, CommandFailed) as error:
        print(f"benchmark stopped: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
