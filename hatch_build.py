"""What a wheel has beside the package: the man pages, where `make man` made them (`make dist`
does, and a source archive holds them). They are made from the installed package, and an isolated
build has nothing installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = Path(self.root, "man")
        if version != "editable" and folder.is_dir():
            build_data["shared_data"] = {str(folder): "share/man"}
