"""All benchmarks, one after the other: `make bench`, or `python benchmarks/run.py`.

Prints Markdown tables, and writes every run to benchmarks/results/<date>.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bench_commit
import bench_memory
import bench_read
from measure import CommandFailed
from report import document, markdown, write_json, write_readme
from setting import SettingError, arguments, setting

RESULTS = Path(__file__).with_name("results")
DATABASE = "bench_app"


def main() -> int:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument(
        "--large-megabytes", type=float, help="memory again at this size (default: 4 x; 0: not)"
    )
    parser.add_argument("--row-megabytes", type=float, default=200, help="large row (0: not)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON file")
    parser.add_argument("--write-readme", action="store_true", help="tables into README.md, too")
    options = parser.parse_args()
    large = options.large_megabytes
    large = 4 * options.megabytes if large is None else large
    sizes = [size for size in (options.megabytes, large) if size]
    try:
        with setting(options) as bench:
            bench.check_space(
                max(9e6 * options.megabytes, *(bench_memory.space_bytes(size) for size in sizes))
            )
            bench.load(DATABASE, options.megabytes)
            sections = [bench_commit.measure(bench, DATABASE), bench_read.measure(bench, DATABASE)]
            sections.append(bench_memory.measure_sizes(bench, sizes, DATABASE))
            if options.row_megabytes:
                sections.append(bench_memory.measure_large_row(bench, options.row_megabytes))
            facts = {
                "megabytes": options.megabytes,
                "large megabytes": large,
                "row megabytes": options.row_megabytes,
                "rounds": options.rounds,
                "seed": options.seed,
            }
            stored = document(sections, bench, facts)
    except (SettingError, CommandFailed) as error:
        print(f"benchmark stopped: {error}", file=sys.stderr)
        return 1
    text = markdown(stored)
    print(text)
    print(f"written to {write_json(stored, options.results)}", file=sys.stderr)
    if options.write_readme:
        write_readme(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
