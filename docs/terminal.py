"""Records docs/terminal.svg, the picture in README.md: `make screenshot`.

A real run: an application's database on a private PostgreSQL, the commands one after the other on a
terminal of 96 columns. Only names of folders and of the server are replaced by those of an example,
and the progress bar is left out, which is gone when a command has ended.
"""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pgsnap.cluster import binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.demo import sample

WIDTH = 96
SCALE = 0.1
SNAP = Path(sys.executable).with_name("snap")
# No font is fetched by whoever looks at the picture.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>A session of snap in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
  height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
MIGRATION = "psql -qf migration.sql"
SESSION = (
    "snap init",
    'snap commit -m "before the migration" --tag pre-migration',
    MIGRATION,
    "snap diff pre-migration",
    "snap restore pre-migration --yes",
)


def on_a_terminal(command: str, folder: Path, dsn: str) -> str:
    """Return what *command* writes. Raises CalledProcessError."""
    ours, its = pty.openpty()
    environ = {
        **{name: value for name, value in os.environ.items() if name in ("HOME", "LANG")},
        "COLUMNS": str(WIDTH),
        "TERM": "xterm-256color",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{SNAP.parent}:/usr/bin:/bin",
        "DATABASE_URL": dsn,
        "PAGER": "",
    }
    child = subprocess.Popen(
        ["sh", "-c", f"{command} --no-progress"],
        cwd=folder,
        env=environ,
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    written = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            # What Linux says when nobody has the terminal's other side any more.
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    if child.wait():
        raise subprocess.CalledProcessError(child.returncode, command, bytes(written))
    return written.decode().replace("\r\n", "\n")


def record(cluster: Cluster, folder: Path) -> str:
    """Run the session in *folder*, and return the picture."""
    cluster.create_database("shop")
    sample.load(cluster, "shop", scale=SCALE)
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    for command in SESSION:
        if command != SESSION[0]:
            console.print()
        console.print(Text(f"$ {command}", style="bold"))
        if command == MIGRATION:
            cluster.psql(sample.bad_migration(), "shop")
            continue
        output = on_a_terminal(command, folder, cluster.dsn("shop"))
        for name, shown in ((str(folder), "/srv/shop"), (str(cluster.folder), "/run/postgresql")):
            output = output.replace(name, shown)
        console.print(Text.from_ansi(output.rstrip("\n")))
    return console.export_svg(title="snap", code_format=SVG, unique_id="snap")


def main() -> None:
    with tempfile.TemporaryDirectory() as top, Cluster(binaries.find()) as cluster:
        folder = Path(top, "shop")
        folder.mkdir()
        Path(__file__).with_suffix(".svg").write_text(record(cluster, folder), encoding="utf-8")


if __name__ == "__main__":
    main()
