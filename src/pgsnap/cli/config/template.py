"""The commented snap.toml that `snap init` writes."""

from __future__ import annotations

import json

_TEMPLATE = """\
# snap.toml: settings of snap for this folder and the folders below it.
# Options of the command line and environment variables (SNAP_REPO, DATABASE_URL) come before these.
# Every line shows the default, as a comment.

# Where the repository is. A relative path starts at this file.
{repository}

# The name under which the snapshots of this database stand. Default: the database's own name.
# database = "shop"

# The database, as a libpq URI or keywords. Default: libpq's own PG* variables and service file.
# Keep passwords out of this file: libpq reads them from ~/.pgpass.
# dsn = "host=localhost dbname=shop user=shop"

# The container that PostgreSQL runs in: its name, or its compose service. Then the tools in it are
# used, no port is needed, and dsn is seen from inside; it is not needed for POSTGRES_USER and
# POSTGRES_DB of the container.
{container}
{compose}
# compose_file = "compose.yaml"
# engine = "docker"
# container_user = "postgres"

# The folder of pg_dump, pg_dumpall and psql. Default: the version that fits the server, wherever it
# is installed.
# bindir = "/usr/lib/postgresql/15/bin"

# What speaks SQL to the server: "psycopg", or "psql" (where only psql gets through).
# client = "psycopg"

# How long a command waits while another one holds the repository.
# lock_timeout = "10min"

# How long pg_dump waits for a table that a migration has locked.
# lock_wait_timeout = "10min"

# Whether a restore first records what it is about to replace.
# safety_snapshot = true

# Whether a pg_dump that is newer than the server will do.
# allow_newer_client = false

# Whose files in the repository and in .snap are trusted beside root's, yours and those of the
# folder's own owner; and the links there that are followed (else neither is used).
# trusted_owners = ["root"]
# trusted_links = ["database/backups/packs"]

# The runbook whose commands `snap drill` checks. One that is named here must be there.
# runbook = "docs/rollback.md"

# Whether a restore, an undo and undo --discard need --i-know: for production.
# protected = false

# What is stopped while a restore or an undo swaps databases, and started again: compose services,
# containers, systemd units (compose:NAME, container:NAME, unit:NAME, or just the name). Here, above
# all tables; or as tables [services.NAME], with stop and start (running, health and timeout where
# you like), or with one of compose, container, unit.
# services = ["strapi"]

# What `snap gc` keeps of each database: a snapshot stays when one of the rules keeps it. With any
# rule here the default, the last 7, does not hold. Snapshots with a tag stay as well; where there
# are patterns of tags, as in ["pre-*"], only those with such a tag.
# [retention]
# last = 7
# hourly = 0
# daily = 0
# weekly = 0
# monthly = 0
# yearly = 0
# within = "0d"
# tags = []

# How long `snap unforget` can bring back what was dropped.
# grace = "7d"

# How long a server counts that has no new snapshots, beside another one of the same label.
# retire_after = "90d"

# What `snap schedule install` lets run by itself, in cron's syntax or by name ("@daily"). Jobs are
# commit, gc, verify, drill and check; each may have options of its verb. Nothing by default:
# [schedule]
# commit = "0 2 * * *"
# verify = "0 4 1 * *"
# verify_options = ["--sample", "10%"]
# all_databases = false
# on_overlap = "skip"

# Who is told how runs end. A URL is a secret: it may stand in a file of its own. Nobody by default:
# [alerts]
# ping_url_file = "ping-url"
# webhook_file = "webhook-url"
# metrics_file = "/var/lib/node_exporter/snap.prom"
# on = ["failure", "red", "recovered"]

# Your own commands around those of snap, with JSON on their standard input. One before it that
# fails stops it. before_commit, after_commit, before_restore, after_restore, before_gc, after_gc:
# [hooks]
# after_restore = "php artisan cache:clear"
"""


def config_template(
    repository: str | None, compose: str | None = None, container: str | None = None
) -> str:
    """Return the text of a new snap.toml; *repository* is None for the default place, *compose*
    the service or *container* the container that PostgreSQL runs in, if it does."""
    line = '# repository = "database/backups"'
    if repository is not None:
        # A JSON string is a TOML basic string, but for the DEL character, which no path has.
        line = f"repository = {json.dumps(repository, ensure_ascii=False)}"
    service = f"compose = {json.dumps(compose)}" if compose else '# compose = "db"'
    name = f"container = {json.dumps(container)}" if container else '# container = "shop-db-1"'
    return _TEMPLATE.format(repository=line, compose=service, container=name)
