"""Small applications for the tools of docs/recipes.md, each with a migration that succeeds, and
another that changes rows and then fails."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"

_ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

config = context.config
config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))
with create_engine(config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_ALEMBIC_MIGRATION = """
from alembic import op

revision, down_revision = {revision!r}, {before!r}


def upgrade():
    op.execute({statement!r})
"""
_DJANGO_MANAGE = """
import os, sys
from django.core.management import execute_from_command_line

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
execute_from_command_line(sys.argv)
"""
_DJANGO_SETTINGS = """
import os
from psycopg.conninfo import conninfo_to_dict

found = conninfo_to_dict(os.environ["DATABASE_URL"])
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": found["dbname"], "USER": found["user"],
    "HOST": found["host"], "PORT": found["port"],
}}
INSTALLED_APPS = ["shop"]
"""
_DJANGO_MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = {before!r}
    operations = [migrations.RunSQL(statement) for statement in {statements!r}]
"""
_KNEX_FILE = 'module.exports = { client: "pg", connection: process.env.DATABASE_URL };\n'
_KNEX_MIGRATION = """
exports.config = { transaction: false };
exports.up = async (knex) => { for (const each of %s) await knex.raw(each); };
exports.down = async () => {};
"""

GOOD = ("CREATE TABLE orders (id int PRIMARY KEY, total int)", "INSERT INTO orders VALUES (1, 10)")
HALF = (
    "ALTER TABLE orders ADD COLUMN currency text",
    "UPDATE orders SET total = 0",
    "ALTER TABLE orders ALTER COLUMN no_such_column SET NOT NULL",
)


def command(*words: str) -> list[str]:
    """Return the arguments of the line of docs/recipes.md that runs these *words*, without "snap"
    itself; variables in it are those of this process."""
    lines = re.findall(r"^    snap (run .*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    [line] = [line for line in lines if line.startswith(f"run -- {' '.join(words)}")]
    return shlex.split(os.path.expandvars(line))


def alembic(folder: Path, number: int, statements: tuple[str, ...]) -> None:
    """Add a migration of Alembic for each statement, and at first what surrounds them."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (folder / "migrations" / "env.py").write_text(_ALEMBIC_ENV)
    done = len(list(versions.glob("*.py")))
    for at, statement in enumerate(statements, done + 1):
        text = _ALEMBIC_MIGRATION.format(
            revision=str(at), before=str(at - 1) if at > 1 else None, statement=statement
        )
        (versions / f"{at}.py").write_text(text)


def django(folder: Path, number: int, statements: tuple[str, ...]) -> None:
    """Add a migration of Django, and at first what surrounds it."""
    migrations = folder / "shop" / "migrations"
    migrations.mkdir(parents=True, exist_ok=True)
    for package in (migrations.parent, migrations):
        (package / "__init__.py").touch()
    (folder / "manage.py").write_text(_DJANGO_MANAGE)
    (folder / "settings.py").write_text(_DJANGO_SETTINGS)
    before = [("shop", f"{number - 1:04d}")] if number > 1 else []
    text = _DJANGO_MIGRATION.format(before=before, statements=statements)
    (migrations / f"{number:04d}.py").write_text(text)


def knex(folder: Path, number: int, statements: tuple[str, ...]) -> None:
    """Add a migration of Knex, and at first what surrounds it."""
    migrations = folder / "migrations"
    migrations.mkdir(exist_ok=True)
    (folder / "knexfile.js").write_text(_KNEX_FILE)
    (migrations / f"{number}.js").write_text(_KNEX_MIGRATION % list(statements))


def structure(folder: Path, number: int, statements: tuple[str, ...]) -> None:
    """Write Rails' structure.sql, as pg_dump and Rails write its ends."""
    (folder / "db").mkdir(exist_ok=True)
    head = "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n"
    tail = 'SET search_path TO "$user", public;\nCREATE TABLE IF NOT EXISTS schema_migrations'
    tail += f" (version text);\nINSERT INTO schema_migrations VALUES ('{number}');\n"
    body = "".join(f"{statement};\n" for statement in statements)
    (folder / "db" / "structure.sql").write_text(head + body + tail)
