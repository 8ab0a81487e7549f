"""Prometheus' text format, in a file for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pgsnap.files import whole
from pgsnap.values import dataclass

# The collector runs as another user. The file holds no secrets.
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge: its name without "snap_", its help text, and a value for each set of labels."""

    name: str
    help: str
    values: Sequence[tuple[Mapping[str, str], float]]


def metrics_text(metrics: Sequence[Metric]) -> str:
    """Return *metrics* as text (https://prometheus.io/docs/instrumenting/exposition_formats)."""
    lines = []
    for metric in metrics:
        if not metric.values:
            continue
        name = f"snap_{metric.name}"
        lines += [f"# HELP {name} {_help(metric.help)}", f"# TYPE {name} gauge"]
        for labels, value in metric.values:
            words = ",".join(f'{key}="{_label(text)}"' for key, text in labels.items())
            lines.append(
                f"{name}{{{words}}} {_number(value)}" if words else f"{name} {_number(value)}"
            )
    return "".join(f"{line}\n" for line in lines)


def write_metrics(path: Path, metrics: Sequence[Metric]) -> None:
    """Replace the file atomically: a collector never reads half of it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The collector reads only names that end in .prom, which that of a draft does not.
    whole.write_at(path, metrics_text(metrics).encode("utf-8", "backslashreplace"), _MODE)


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
