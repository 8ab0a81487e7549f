"""What names a repository: the path of its folder, or the URL of its store."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

Address: TypeAlias = "Path | str"
"""A `Path` is a folder, a `str` a URL."""
