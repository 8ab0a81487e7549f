"""What many versions of a database cost: snap beside restic, borg, gzip, zstd and zstd's patches.

A real PostgreSQL makes the versions of a data set (data_sets.py), one after the other; each is
dumped once, and the very same file is given to every contender.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench_commit import PYTHON
from bench_read import compare, digest_of
from data_sets import DATA_SETS, STAGING
from history import History
from measure import Case, CommandFailed, Series, interleave, run
from report import STORAGE_MARKS, Section, document, markdown, write_json, write_readme
from setting import Setting, SettingError, arguments, remove, setting
from storage_tables import APPLICATION, goals, marks, read_name, tables
from stores import SNAP, Store, into, stores
from workshop import SERVER_SETTINGS, Order, versions

RESULTS = Path(__file__).with_name("results")
ALL = "all"
OTHERS = "others"
# What restic and borg keep of a version whose changes are scattered, as a share of its text.
PEERS_SHARE = 0.8


def measure(bench: Setting, order: Order, *, with_peers: bool, gzip_all: bool) -> Section:
    """Give every version to every contender, then read some back."""
    gzipped = None if gzip_all else frozenset(marks(order.versions))
    contenders = stores(bench, order.versions, gzipped, with_peers=with_peers)
    histories = {one.name: History(one.name, order.versions) for one in contenders}
    sizes: dict[int, int] = {}
    digests: dict[int, str] = {}
    server, environment = bench.server, bench.environment()
    for version in versions(order, server, environment, bench.scratch, bench.say):
        sizes[version.number] = version.bytes_
        digests[version.number] = digest_of(version.dump)
        # Nobody always comes first.
        turn = version.number % len(contenders)
        for store in contenders[turn:] + contenders[:turn]:
            if not store.takes(version):
                continue
            os.sync()
            command = store.store(version)
            done = run(command)
            text = command.text.replace(str(version.dump.parent), "DUMPS")
            history = histories[store.name]
            history.add(version.number, text, store.stored(version, done), done)
            added = history.one(version.number) / 1e6
            bench.say(f"  {store.name:20} {done.wall_seconds:7.2f} s {added:9.2f} MB")
    read = _measure_reading(bench, order, contenders, digests)
    name = order.data_set.name
    return Section(
        name=f"storage {name}",
        tables=tables(order, histories, read, sizes),
        goals=goals(order, histories, read, sizes),
        series=(*(one.series(name) for one in histories.values()), *read.values()),
        facts={**order.made, "dump_bytes": sizes, "dump_hashes": digests, "checked": True},
    )


def _measure_reading(
    bench: Setting, order: Order, contenders: list[Store], digests: dict[int, str]
) -> dict[str, Series]:
    """Read back the first and the last version, with snap one in the middle too."""
    again = bench.scratch / "again.sql"
    cases = []
    for store in contenders:
        numbers = {1, order.versions}
        if store.name == SNAP:
            numbers.add((order.versions + 1) // 2)
        for number in sorted(numbers):
            command = store.read(number)
            if command is None:
                continue
            run(into(command, again))
            compare(read_name(store.name, number), digest_of(again), digests[number])
            remove(again)
            cases.append(Case(read_name(store.name, number), partial(replace, command)))
    cases.append(Case(PYTHON, lambda: bench.command((sys.executable, "-c", "pass"))))
    return interleave(cases, bench.rounds, say=bench.say)


def orders(options: argparse.Namespace) -> list[Order]:
    """Return what the options ask for, each data set once."""
    names: list[str] = []
    for wanted in options.set or [APPLICATION]:
        if wanted in (ALL, OTHERS):
            names += [name for name in DATA_SETS if wanted == ALL or name != APPLICATION]
        else:
            names.append(wanted)
    made = []
    for name in dict.fromkeys(names):
        mine = name == APPLICATION
        megabytes = options.megabytes if mine else options.other_megabytes
        days = options.days if mine else options.other_days
        if days < (3 if name == STAGING else 2):
            raise SettingError(f"{name} needs more versions: give --days or --other-days")
        made.append(Order(DATA_SETS[name], options.seed, megabytes, days, options.dumps))
    return made


def space_bytes(order: Order, *, with_peers: bool) -> float:
    """Return about how much disk space one data set needs, with its database."""
    one = order.megabytes * 1e6
    kept = order.versions if order.folder else 2
    return one * (4 + kept + (PEERS_SHARE * order.versions if with_peers else 0.1 * order.versions))


def options_parser() -> argparse.ArgumentParser:
    parser = arguments((__doc__ or "").partition("\n")[0], with_dsn=False)
    parser.set_defaults(megabytes=520)
    parser.add_argument(
        "--set",
        action="append",
        choices=(*DATA_SETS, OTHERS, ALL),
        help=f"which data set; repeatable (default: {APPLICATION})",
    )
    parser.add_argument("--days", type=int, default=30, help=f"versions of {APPLICATION}")
    parser.add_argument("--other-megabytes", type=float, default=80, help="of each other data set")
    parser.add_argument("--other-days", type=int, default=7, help="versions of each other data set")
    parser.add_argument("--without-peers", action="store_true", help="no restic, borg, gzip")
    parser.add_argument("--gzip-all", action="store_true", help="gzip every version (slow)")
    parser.add_argument("--dumps", type=Path, help="folder where the dumps are kept and looked for")
    parser.add_argument("--only-dumps", action="store_true", help="make the dumps, measure nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    parser.add_argument("--write-readme", action="store_true", help="tables into README.md, too")
    return parser


def main() -> int:
    parser = options_parser()
    options = parser.parse_args()
    if options.only_dumps and not options.dumps:
        parser.error("--only-dumps needs --dumps FOLDER")
    peers = not options.without_peers
    try:
        wanted = orders(options)
        with setting(options, SERVER_SETTINGS) as bench:
            if options.only_dumps:
                for order in wanted:
                    for _ in versions(
                        order, bench.server, bench.environment(), bench.scratch, bench.say
                    ):
                        pass
                return 0
            bench.check_space(max(space_bytes(order, with_peers=peers) for order in wanted))
            sections = [
                measure(bench, order, with_peers=peers, gzip_all=options.gzip_all)
                for order in wanted
            ]
            facts = {
                "seed": options.seed,
                "rounds of reading": options.rounds,
                "sets": ", ".join(
                    f"{one.data_set.name} {one.megabytes:g} MB x {one.versions}" for one in wanted
                ),
            }
            stored = document(sections, bench, facts)
    except (SettingError, CommandFailed) as error:
        print(f"benchmark stopped: {error}", file=sys.stderr)
        return 1
    text = markdown(stored)
    print(text)
    print(f"written to {write_json(stored, options.results, 'storage-')}", file=sys.stderr)
    if options.write_readme:
        write_readme(text, marks=STORAGE_MARKS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
