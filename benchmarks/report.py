"""The figures as Markdown tables and as JSON; report.py FILE.json prints them again."""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from measure import Series
from setting import Setting, machine

README = Path(__file__).with_name("README.md")
RESULTS_BEGIN = "<!-- results: begin (written by run.py --write-readme) -->"
RESULTS_END = "<!-- results: end -->"
RESULTS_MARKS = (RESULTS_BEGIN, RESULTS_END)
STORAGE_MARKS = (
    "<!-- storage: begin (written by bench_storage.py --write-readme) -->",
    "<!-- storage: end -->",
)
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Table:
    """One Markdown table with its caption and notes."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _row(self.header)]
        lines.append(_row(["---", *["---:"] * (len(self.header) - 1)]))
        lines += [_row(row) for row in self.rows]
        if self.notes:
            lines += ["", *(f"* {note}" for note in self.notes)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Goal:
    """What was wished for, beside what was measured. Missing one fails nothing: machines differ."""

    wished: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark program found: tables and goals for people, all runs for the record."""

    name: str
    tables: tuple[Table, ...]
    goals: tuple[Goal, ...] = ()
    series: tuple[Series, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def goal_at_most(wished: str, value: float | None, bound: float, unit: str = "") -> Goal:
    """Return a goal that is met by a *value* of at most *bound*."""
    if value is None:
        return Goal(wished, "not measured", False)
    return Goal(wished, f"{value:.2f}{unit}", value <= bound)


def goal_at_least(wished: str, value: float | None, bound: float, unit: str = "") -> Goal:
    """Return a goal that is met by a *value* of at least *bound*."""
    if value is None:
        return Goal(wished, "not measured", False)
    return Goal(wished, f"{value:.2f}{unit}", value >= bound)


def mib(bytes_: float | None) -> str:
    return "-" if bytes_ is None else f"{bytes_ / MIB:.0f}"


def megabytes(bytes_: float | None) -> str:
    """Return MB (10^6), or kB where a small size would look like nothing."""
    if bytes_ is None:
        return "-"
    return f"{bytes_ / 1e3:.1f} kB" if abs(bytes_) < 1e5 else f"{bytes_ / 1e6:.1f} MB"


def seconds(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def children(series: Series) -> str:
    peaks = series.children_peak_bytes
    return ", ".join(f"{name} {mib(peak)}" for name, peak in peaks.items()) or "-"


def ratio(series: Series, floor: Series) -> str:
    """Return the ratio of the medians, and the range of the rounds where there are several."""
    text = f"{series.ratio_to(floor):.2f}"
    if len(series.runs) > 1 and series is not floor:
        low, high = series.ratio_range(floor)
        text += f" ({low:.2f}-{high:.2f})"
    return text


def goals_table(sections: Iterable[Section]) -> Table:
    rows = [
        (goal.wished, goal.measured, "yes" if goal.met else "NO")
        for section in sections
        for goal in section.goals
    ]
    return Table("Goals", ("goal", "measured", "met"), tuple(rows))


def _record(series: Series, bench: Setting) -> dict[str, Any]:
    record = asdict(series)
    record["command"] = bench.anonymous(series.command)
    for one in record["runs"]:
        del one["output"]
    return record


def document(sections: list[Section], bench: Setting, options: dict[str, Any]) -> dict[str, Any]:
    """Return everything as JSON-fit values; nothing in it names the host or its folders."""
    measured = [section for section in sections if section.goals]
    tables = [table for section in sections for table in section.tables]
    if measured:
        tables.insert(0, goals_table(measured))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(bench.server),
        "options": options,
        "tables": [asdict(table) for table in tables],
        "sections": {
            section.name: {
                "facts": section.facts,
                "goals": [asdict(goal) for goal in section.goals],
                "series": [_record(series, bench) for series in section.series],
            }
            for section in sections
        },
    }


def markdown(stored: dict[str, Any]) -> str:
    """Return the tables of a stored document."""
    facts = [f"{name}: {value}" for name, value in stored["machine"].items()]
    options = ", ".join(f"{name} {value}" for name, value in stored["options"].items())
    parts = [f"Measured on {stored['date']} ({options}).", "\n".join(f"* {one}" for one in facts)]
    for table in stored["tables"]:
        rows = tuple(tuple(row) for row in table["rows"])
        header, notes = tuple(table["header"]), tuple(table["notes"])
        parts.append(Table(table["title"], header, rows, notes).markdown())
    return "\n\n".join(parts) + "\n"


def write_json(stored: dict[str, Any], folder: Path, prefix: str = "") -> Path:
    """Write `<date>.json` into *folder*, or `<date>-2.json`: none is overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        suffix = f"-{number}" if number > 1 else ""
        path = folder / f"{prefix}{stored['date']}{suffix}.json"
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(stored, file, indent=1, ensure_ascii=False)
                file.write("\n")
            return path
        except FileExistsError:
            number += 1


def write_readme(text: str, readme: Path = README, marks: tuple[str, str] = RESULTS_MARKS) -> None:
    """Put *text* between the two *marks* of the README: those of the section that it belongs to."""
    old = readme.read_text("utf-8")
    before, begin, rest = old.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{readme} has lost the marks around its results")
    readme.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", "utf-8")


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the tables of a stored result.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--write-readme", action="store_true", help="into README.md, too")
    options = parser.parse_args()
    stored = json.loads(options.file.read_text("utf-8"))
    text = markdown(stored)
    print(text)
    if options.write_readme:
        storage = all(name.startswith("storage ") for name in stored["sections"])
        write_readme(text, marks=STORAGE_MARKS if storage else RESULTS_MARKS)


if __name__ == "__main__":
    main()
