"""The recipes of docs/recipes.md with the real tools: a migration that succeeds, then one that
fails half-way, on a terminal where somebody wants the database back."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import recipes
from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.running.terminals import on_terminal
from support.servers.databases import Database

pytestmark = pytest.mark.timeout(600)

Add = Callable[[Path, int, tuple[str, ...]], None]


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    snap.use_tools_of(database.cluster)
    bin_folder = Path(sys.executable).parent
    snap.setenv("PATH", os.pathsep.join([str(bin_folder), os.environ["PATH"]]))
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


def orders(database: Database) -> str:
    return database.psql("SELECT * FROM orders").strip()


def try_recipe(
    shop: CommandLine, database: Database, add: Add, words: list[str], code: int
) -> None:
    """Follow a recipe with a migration that succeeds, and with one that fails with *code*."""
    add(shop.work, 1, recipes.GOOD)
    good = shop.process(*recipes.command(*words))
    assert good.code == 0, good.out + good.err
    assert orders(database) == "1|10"
    add(shop.work, 2, recipes.HALF)
    found, shown = on_terminal(shop, database.name, *recipes.command(*words))
    assert found == code, shown
    # The tool's own words, then what it changed, then the question.
    places = [shown.find(each) for each in ("no_such_column", "public.orders", "Type its name")]
    assert -1 < places[0] < places[1] < places[2], shown
    # On a narrow terminal it stands on two lines.
    assert "other definition" in " ".join(shown.split())
    assert orders(database) == "1|10"
    [kept] = databases_like(database, f"{database.name}%snap%")
    half = Database(database.cluster, kept)
    assert half.psql("SELECT total, currency FROM orders").strip() == "0|"


@pytest.mark.skipif(importlib.util.find_spec("alembic") is None, reason="needs pip install alembic")
def test_alembic(shop: CommandLine, database: Database) -> None:
    url = database.dsn.replace("postgresql://", "postgresql+psycopg://")
    shop.setenv("DATABASE_URL", url)
    try_recipe(shop, database, recipes.alembic, ["alembic"], 1)


@pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="needs pip install django")
def test_django(shop: CommandLine, database: Database) -> None:
    try_recipe(shop, database, recipes.django, ["python", "manage.py"], 1)


def test_structure_sql_of_rails(shop: CommandLine, database: Database) -> None:
    try_recipe(shop, database, recipes.structure, ["psql"], 3)


@pytest.mark.system
def test_knex(shop: CommandLine, database: Database) -> None:
    if shutil.which("npm") is None:
        pytest.skip("needs npm: run `apt-get install npm`")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run([*install, "knex@3", "pg@8"], cwd=shop.work, check=False)
    if done.returncode:
        pytest.skip("npm gives neither knex nor pg")
    shop.setenv("DATABASE_URL", database.tcp_dsn)
    try_recipe(shop, database, recipes.knex, ["npx", "knex"], 1)
