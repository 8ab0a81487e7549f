"""A cluster whose messages are in other languages, where PostgreSQL's translations are installed.

No locale of those languages is needed: of one only the name counts, by which the translations are
found, so the names are links to C.UTF-8.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster

LANGUAGES = {"de": "de_DE", "ru": "ru_RU", "ja": "ja_JP", "zh_CN": "zh_CN"}
_LOCALE = Path("/usr/lib/locale/C.utf8")
_SECONDS = 60.0


@contextmanager
def translated_cluster(
    binaries: Binaries, folder: Path, settings: dict[str, str], patch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    """Yield a private cluster that `speak` can switch; skip where it would speak English only."""
    translations = _translations(binaries)
    names = folder / "locales"
    names.mkdir()
    for name in LANGUAGES.values():
        (names / f"{name}.UTF-8").symlink_to(_LOCALE)
    # The server is another user.
    for path in (names, *names.parents):
        if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077 == 0:
            path.chmod(path.stat().st_mode | 0o011)
    patch.setenv("LOCPATH", str(names))
    with Cluster(binaries, fsync=False, tcp=True, settings=settings) as cluster:
        place = cluster.folder / "installation" / "share" / "locale"
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(translations)
        yield cluster


def speak(cluster: Cluster, language: str) -> None:
    """Let new sessions of *cluster* get their messages in *language*."""
    name = f"{LANGUAGES[language]}.UTF-8"
    cluster.psql(f"ALTER SYSTEM SET lc_messages = '{name}'")
    cluster.psql("SELECT pg_reload_conf()")
    deadline = time.monotonic() + _SECONDS
    while cluster.psql("SHOW lc_messages") != name:
        assert time.monotonic() < deadline, "the server keeps its language"


def _translations(binaries: Binaries) -> Path:
    asked = [str(binaries.bindir / "pg_config"), "--localedir"]
    try:
        shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{asked[0]} does not tell where translations lie")
    folder = Path(shown.strip())
    for language in LANGUAGES:
        if not (folder / language / "LC_MESSAGES" / f"postgres-{binaries.major}.mo").exists():
            pytest.skip(
                f"this PostgreSQL {binaries.major} has no translations (that of Debian has:"
                f" apt-get install postgresql-{binaries.major}, or --pg-major 15)"
            )
    if not _LOCALE.is_dir():
        pytest.skip(f"{_LOCALE} is not there")
    return folder
