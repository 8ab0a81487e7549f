"""The scripts by which shells ask, and where they are installed."""

from __future__ import annotations

import os
import shlex
import shutil
from importlib import resources
from pathlib import Path

from pgsnap.cli.completion import VARIABLE
from pgsnap.cli.text.program import is_own
from pgsnap.cli.text.short_name import NAMES
from pgsnap.values import dataclass

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Installed:
    """What was written: the *files* of the script, and the file that a line was added to, if it
    was needed."""

    files: tuple[Path, ...]
    changed: Path | None


def names() -> tuple[str, ...]:
    """Return the names that are completed: not one that starts another program here."""
    found = {name: shutil.which(name) for name in NAMES}
    return tuple(name for name, path in found.items() if path is None or is_own(path))


def script(shell: str) -> str:
    """Return the script for a shell of `SHELLS`."""
    head = f"# Completion of {' and '.join(names())} in {shell}.\n"
    text = (resources.files(__package__) / "shells" / f"completion.{shell}").read_text()
    return head + text.replace("@VARIABLE@", VARIABLE).replace("@NAMES@", " ".join(names()))


def install(shell: str) -> Installed:
    """Write the script to where *shell* finds it, for this user. Raises OSError."""
    if shell == "fish":
        folder = _folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions"
        # Fish looks for a file of the command's name.
        files = tuple(folder / f"{name}.fish" for name in names())
        changed = None
    else:
        files = (_folder("XDG_DATA_HOME", ".local/share") / "pgsnap" / f"completion.{shell}",)
        changed = Path("~/.bashrc").expanduser()
        if shell == "zsh":
            changed = Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script(shell), encoding="utf-8")
    if changed is not None and not _add_line(changed, f". {shlex.quote(str(files[0]))}"):
        changed = None
    return Installed(files, changed)


def _add_line(path: Path, line: str) -> bool:
    """Add *line* to the file, and return whether it was not there yet."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        text = ""
    if line in text.splitlines():
        return False
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if text and not text.endswith("\n") else "") + line + "\n")
    return True


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)
