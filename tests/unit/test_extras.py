"""What adds an optional package to this installation, for each way that it can have been made."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap import extras
from pgsnap.cli.text.layout import fitted
from pgsnap.extras import Installation
from support.documents.source import MODULES, ROOT

UI = ("jinja2>=3.1", "starlette>=0.40", "uvicorn>=0.30")
REQUIREMENTS = ("numpy>=2.0", *(f"{one}; extra == 'ui'" for one in UI), 'x>1; extra == "age"')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment, and another Python's pip on PATH."""
    for name in ("elsewhere", "an environment/bin"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "pip").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    return tmp_path / "an environment"


@pytest.fixture
def installed(folder: Path) -> Installation:
    python = str(folder / "bin" / "python")
    return Installation(python, folder, None, True, False, REQUIREMENTS)


def test_pip_of_this_environment_adds_to_it(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = shlex.quote(installed.python)
    assert installed.command("ui") == f"{python} -m pip install 'pgsnap[ui]'"
    clone = replace(installed, clone=Path("/srv/my snap"))
    assert clone.command("ui") == f"{python} -m pip install -e '/srv/my snap[ui]'"
    managed = replace(installed, managed=True).command("ui")
    assert managed == f"{python} -m pip install --break-system-packages 'pgsnap[ui]'"
    # An activated environment's.
    monkeypatch.setenv("PATH", str(installed.prefix / "bin"))
    assert installed.command("ui") == "pip install 'pgsnap[ui]'"
    assert clone.command("ui") == "pip install -e '/srv/my snap[ui]'"


def test_what_pipx_or_uv_made_is_added_to_by_them(installed: Installation, folder: Path) -> None:
    (folder / "pipx_metadata.json").touch()
    expected = ["pipx", "inject", "an environment", *UI]
    assert shlex.split(installed.command("ui") or "") == expected
    (folder / "pipx_metadata.json").unlink()
    (folder / "uv-receipt.toml").touch()
    by_uv = replace(installed, has_pip=False)
    expected = ["uv", "pip", "install", "--python", installed.python, *UI]
    assert shlex.split(by_uv.command("ui") or "") == expected
    assert extras.hint("ui", by_uv) == f"Install it: {by_uv.command('ui')}"
    (folder / "uv-receipt.toml").unlink()
    # Neither pip nor uv: a container's image.
    assert by_uv.command("ui") is None
    assert str(folder) in extras.hint("ui", by_uv)
    assert ", ".join(UI) in extras.hint("ui", by_uv)


def test_this_installation_is_the_clone_that_the_tests_run_in() -> None:
    here = Installation.here()
    assert here.clone == ROOT
    assert here.prefix == Path(sys.prefix)
    assert "jinja2" in [re.split("[<>=]", one)[0] for one in here.packages("ui")]
    found = extras.hint("ui")
    assert found.endswith(f" install -e {shlex.quote(f'{ROOT}[ui]')}")
    # On a terminal the command is on one line, to be copied.
    assert found.removeprefix("Install it: ") in [line.strip() for line in fitted([found], 40)]


def test_each_hint_names_an_extra_that_there_is() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = set(tomllib.load(file)["project"]["optional-dependencies"])
    used = set()
    for path in MODULES:
        text = path.read_text("utf-8")
        used |= set(re.findall(r"""extras\.hint\(["'](\w+)["']\)""", text))
        assert not re.search(r"pip install '?pgsnap\[", text), path
    assert {"ui", "age", "aws", "notify", "parquet", "sftp", "keyring", "demo"} == used
    assert used <= known
