"""The commented snap.toml that `snap init` writes, generated from the declared keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pgsnap.cli.config.keys import Key
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.text.program import named

_HEAD = """\
# snap.toml: settings of snap for this folder and the folders below it.
# Options of the command line and environment variables (SNAP_REPO, DATABASE_URL) come before these.
# Every line shows the default, as a comment.
"""

# Of tables of which there may be several.
_TITLES = {"remotes": "remotes.offsite"}


def config_template(values: Mapping[str, str | None]) -> str:
    """Return the text of a new snap.toml: *values* are those of its keys that are not to stay at
    their defaults; those that are None do."""
    return named(_HEAD) + "\n".join(_lines(KEYS, values)) + "\n"


def _lines(keys: Mapping[str, Key], values: Mapping[str, str | None]) -> Iterator[str]:
    """Yield the lines of *keys*: as comments, except for those with a value."""
    import textwrap

    for name, key in keys.items():
        if key.comment:
            yield ""
            for paragraph in key.comment.split("\n"):
                for line in textwrap.wrap(named(paragraph), 98, break_on_hyphens=False):
                    yield f"# {line}"
        if key.keys is not None:
            yield f"# [{_TITLES.get(name, name)}]"
            yield from _lines(key.keys, {})
        elif value := values.get(name):
            # A JSON string is a TOML basic string, except for the DEL character, which no path has.
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
        elif key.shown:
            yield f"# {name} = {key.shown}"
