"""The name that this program was started by, and its own texts with that name in them.

Texts are written with `snap`. On Ubuntu another program has that name, so what is shown names a
command that starts this one.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from pgsnap.cli.text.short_name import NAMES, by_default

_MODULE = "pgsnap"
# Enough of a script for the import of its module.
_HEAD_BYTES = 2048


def program() -> str:
    """Return what starts this program in a shell: the name that it was started by; the other one
    where that is another program, else the path of its script."""
    return _program(sys.argv[0] if sys.argv else "", os.environ.get("PATH"), by_default())


@functools.cache
def _program(started: str, path: str | None, default: str) -> str:
    name = Path(started).name
    if name in NAMES and Path(started).is_file():
        script = started
    elif (module := _as_module()) is not None:
        return module
    else:
        # A run by a scheduler, or by another Python program.
        name, script = default, ""
        if shutil.which(name, path=path) is None:
            return name
    for known in (name, *NAMES):
        found = shutil.which(known, path=path)
        if found is not None and is_own(found, script):
            return known
    return shlex.quote(script) if script else NAMES[1]


def _as_module() -> str | None:
    """Return the command line up to the module, if that is how Python was started."""
    words = sys.orig_argv
    for place, word in enumerate(words[:-1]):
        if word == "-m":
            return shlex.join(words[: place + 2]) if words[place + 1] == _MODULE else None
    return None


def is_own(found: str, script: str = "") -> bool:
    """Return whether *found* is *script*, or a script of this package."""
    try:
        if script and Path(found).samefile(script):
            return True
        with Path(found).open("rb") as file:
            return b"pgsnap" in file.read(_HEAD_BYTES)
    except OSError:
        return False


def named(text: str) -> str:
    """Return *text*, one of this program's own, with each `snap COMMAND` in it under the name of
    `program`. What stands in quotes may be the user's, and stays."""
    name = program()
    if name == NAMES[0] or NAMES[0] not in text:
        return text
    return _pattern().sub(lambda match: match["quoted"] or name, text)


@functools.cache
def _pattern() -> re.Pattern[str]:
    from pgsnap.cli import commands

    verbs = "|".join(map(re.escape, commands.NAMES))
    return re.compile(
        r"""(?P<quoted>"[^"\n]*"|(?<!\w)'[^'\n]*'(?!\w))"""
        rf"|(?<![\w./$-])snap(?= (?:(?:{verbs})(?![\w=])|--?[a-z]|(?:COMMAND|\.\.\.)))"
    )
