"""Extensions of the tests' own, known to a private cluster only."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from support.servers.databases import new_name

# Configuration whose keys come from a sequence that is none; a log that is no configuration; a
# list that the extension brings with it.
QUEUE = """
CREATE SCHEMA "{name}";
CREATE TABLE "{name}".job (id serial PRIMARY KEY, what text);
CREATE TABLE "{name}".log (id int GENERATED ALWAYS AS IDENTITY, what text);
CREATE TABLE "{name}".kind (id int PRIMARY KEY, word text);
INSERT INTO "{name}".kind VALUES (1, 'mail'), (2, 'print');
CREATE SEQUENCE "{name}"."odd.one's";
CREATE SEQUENCE "{name}".unused;
SELECT pg_extension_config_dump('"{name}".job', '');
"""


def add_extension(
    cluster: Cluster, sql: str = QUEUE, *, version: str = "1.0", name: str = ""
) -> str:
    """Make an extension known to *cluster*: its script is *sql*, in which ``{name}`` stands for the
    name that is returned. A *version* of one that is there becomes the default."""
    name = name or new_name("ext")
    folders = {path.parent for path in installation(cluster).rglob("plpgsql.control")}
    assert folders, "the cluster has an installation of its own"
    control = f"default_version = '{version}'\nrelocatable = false\n"
    for folder in folders:
        for file, text in (
            (f"{name}.control", control),
            (f"{name}--{version}.sql", sql.replace("{name}", name)),
        ):
            # What is there may be a link to the installation's own.
            (folder / file).unlink(missing_ok=True)
            (folder / file).write_text(text)
    return name


def installation(cluster: Cluster) -> Path:
    """Return the folder with the links to PostgreSQL's own files."""
    folder = cluster.folder / "installation"
    if not folder.is_dir():
        pytest.skip("an extension needs a folder of the cluster's own: pg_config is not there")
    return folder
