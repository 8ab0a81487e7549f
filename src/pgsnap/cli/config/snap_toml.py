"""The keys of snap.toml, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from pgsnap import limits
from pgsnap.cli.config.alerts import ALERTS_KEYS, AlertsTable, read_alerts
from pgsnap.cli.config.keys import (
    Option,
    address,
    choice,
    count,
    flag,
    hex_bytes,
    key,
    keys_of,
    links,
    owners,
    path,
    seconds,
    text,
)
from pgsnap.cli.config.remotes import REMOTE_KEYS, RemoteTable, names, read_remotes
from pgsnap.cli.config.retention import RETENTION_KEYS, RetentionTable, read_retention
from pgsnap.cli.config.schedule import (
    SCHEDULE_KEYS,
    DrillTable,
    ScheduleTable,
    drill_key,
    read_schedule,
)
from pgsnap.cli.config.services import HOOK_KEYS, ServicesTable, read_hooks, read_services
from pgsnap.repository.places.address import Address
from pgsnap.runners.base import BINDIR
from pgsnap.values import dataclass

Client: TypeAlias = Literal["psycopg", "psql"]
Reader: TypeAlias = Literal["direct", "stream"]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The values of a snap.toml, or their defaults; None if the default is not known here. Paths
    are absolute, times in seconds. The template has this order."""

    config_path: Path | None = None
    repository: Address | None = key(
        None,
        address,
        '"database/backups"',
        "Where the repository is: a folder (a relative path starts at this file), or the URL of a "
        "store, as s3://bucket/shop.",
        "repository",
        Option("--repo", "PATH|URL", "The repository. [env: SNAP_REPO; default: database/backups]"),
        variable="SNAP_REPO",
        default="`database/backups` beside `snap.toml`, or in the working folder",
    )
    database: str | None = key(
        None,
        text,
        '"shop"',
        "The name under which the snapshots of this database stand. Default: the database's own"
        " name.",
        "label",
        Option("--database", "NAME", "The name under which snapshots of one database stand."),
        default="the database's own name",
    )
    dsn: str | None = key(
        None,
        text,
        '"host=localhost dbname=shop user=shop"',
        "The database, as a libpq URI or keywords. Default: libpq's own PG* variables and "
        "service file.\nKeep passwords out of this file: libpq reads them from ~/.pgpass.",
        "database to read",
        Option("--dsn", "DSN", "The database, as libpq URI or keywords. [env: DATABASE_URL, PG*]"),
        variable="DATABASE_URL",
        default="libpq's `PG*` variables, service file and password file",
    )
    env_file: Path | None = key(
        None,
        path,
        '".env"',
        "A file of variables, as frameworks read it: where neither --dsn nor the environment names "
        "a database, DATABASE_URL is read from it, or PGHOST and others. It comes before dsn; only "
        "you may read it (mode 0600).",
        "file of variables that names the database",
        default="none",
    )
    container: str | None = key(
        None,
        text,
        '"shop-db-1"',
        "The container that PostgreSQL runs in: its name, or its compose service. Then the "
        "tools in it are used, no port is needed, and dsn is seen from inside; it is not "
        "needed for POSTGRES_USER and POSTGRES_DB of the container.",
        "container that PostgreSQL runs in",
        Option("--container", "NAME", "The Docker or Podman container that PostgreSQL runs in."),
        default="none",
    )
    compose: str | None = key(
        None,
        text,
        '"db"',
        meaning="compose service that it runs in",
        option=Option("--compose", "SERVICE", "The compose service that PostgreSQL runs in."),
        default="none",
    )
    compose_file: Path | None = key(
        None,
        path,
        '"compose.yaml"',
        meaning="its compose file",
        default="as the compose client finds it",
    )
    engine: str | None = key(
        None,
        choice("docker", "podman"),
        '"docker"',
        meaning="container engine",
        variable="SNAP_CONTAINER_ENGINE",
        default="the one of `docker` and `podman` that has the container",
    )
    container_user: str | None = key(
        None, text, '"postgres"', meaning="user in the container", default="the container's own"
    )
    bindir: Path | None = key(
        None,
        path,
        '"/usr/lib/postgresql/15/bin"',
        "The folder of pg_dump, pg_dumpall and psql. Default: the version that fits the "
        "server, wherever it is installed.",
        "folder of pg_dump and psql",
        variable=BINDIR,
        variables=f"`{BINDIR}` (several with `:` between them; of servers too, for `snap demo` "
        "and `snap drill --throw-away`)",
        default="the version that fits the server, wherever it is installed",
    )
    client: Client = key(
        "psycopg",
        choice("psycopg", "psql"),
        '"psycopg"',
        'What speaks SQL to the server: "psycopg", or "psql" (where only psql gets through).',
        "who speaks SQL",
        default="`psycopg`; or `psql`",
    )
    source: Reader = key(
        "stream",
        choice("direct", "stream"),
        '"stream"',
        'How rows are read: "direct" (over several connections, and only those that changed where '
        'the server can tell), or "stream" (one pg_dump reads all).',
        "how rows are read",
        default="`stream`; or `direct`, which `snap init` writes where it applies",
    )
    full_every: float = key(
        limits.FULL_EVERY_SECONDS,
        seconds,
        '"7d"',
        "How often a commit that could read only changes reads everything, and compares.",
        "everything is read again after",
        default="7d",
    )
    checkpoint: bool = key(
        True,
        flag,
        "true",
        "Whether a commit may let the server make checkpoints, without which it cannot tell what "
        "changed.",
        "checkpoints by a commit",
    )
    lock_timeout: float = key(
        limits.LOCK_TIMEOUT_SECONDS,
        seconds,
        '"10min"',
        "How long a command waits while another one holds the repository.",
        "wait for the repository",
        Option("--lock-timeout", "TIME", "How long to wait for the repository. [default: 10min]"),
    )
    lock_wait_timeout: float = key(
        limits.LOCK_WAIT_TIMEOUT_SECONDS,
        seconds,
        '"10min"',
        "How long pg_dump waits for a table that a migration has locked.",
        "wait for locked tables",
        Option(
            "--lock-wait-timeout",
            "TIME",
            "How long pg_dump waits for locked tables. [default: 10min]",
        ),
        flags="`--lock-wait-timeout` (commit)",
    )
    warm: int = key(
        0,
        count(limits.WARM_MAX),
        "2",
        "How many warm copies of the snapshot that was restored last are kept ready on the server: "
        "restoring it again then needs no loading. Each takes as much room as the database.",
        "warm copies",
        default="0",
    )
    keep_replaced: int = key(
        1,
        count(limits.KEPT_MAX, least=1),
        "3",
        "How many databases that restores replaced are kept for snap undo. The oldest goes when "
        "a restore is done, if its safety snapshot has everything that is in it.",
        "replaced databases that are kept",
        default="1",
    )
    safety_snapshot: bool = key(
        True,
        flag,
        "true",
        "Whether a restore first records what it is about to replace.",
        "safety snapshot",
        Option("--no-safety-snapshot", "", "Do not record first what is there now."),
        flags="`--no-safety-snapshot` (restore)",
    )
    allow_newer_client: bool = key(
        False,
        flag,
        "false",
        "Whether a pg_dump that is newer than the server will do.",
        "newer client programs",
        Option("--allow-newer-client", "", "Let programs do it that are newer than the server."),
        flags="`--allow-newer-client` (commit, diff, restore, undo, drill)",
    )
    trusted_owners: frozenset[int] = key(
        frozenset[int](),
        owners,
        '["root"]',
        "Whose files in the repository and in .snap are trusted beside root's, yours and those "
        "of the folder's own owner; and the links there that are followed (else neither is "
        "used).",
        "whose files are trusted in the repository and in `.snap/`",
        default="root, you, and the folder's own owner",
    )
    trusted_links: frozenset[Path] = key(
        frozenset[Path](),
        links,
        '["database/backups/packs"]',
        meaning="links that are followed there",
        default="none",
    )
    passphrase_file: Path | None = key(
        None,
        path,
        '"/etc/snap/passphrase"',
        "What opens an encrypted repository: a file that holds the passphrase (mode 0600), a "
        "command that prints it, a key file, or a file with an age or SSH key. By default the "
        "systemd credentials snap-passphrase and snap-key, then a question on the terminal.",
        "file that holds the passphrase",
        variable="SNAP_PASSPHRASE_FILE",
        default="none",
    )
    passphrase_command: str | None = key(
        None,
        text,
        '"pass show backups"',
        meaning="command that prints the passphrase",
        option=Option(
            "--passphrase-command", "COMMAND", "Prints the passphrase of an encrypted repository."
        ),
        default="none",
    )
    key_file: Path | None = key(
        None,
        path,
        '"/etc/snap/key"',
        meaning="key file",
        option=Option("--key-file", "FILE", "The key of an encrypted repository, 32 random bytes."),
        variable="SNAP_KEY_FILE",
        default="none",
    )
    identity_file: Path | None = key(
        None,
        path,
        '"/etc/snap/identity"',
        meaning="file with an age or SSH key",
        variable="SNAP_IDENTITY_FILE",
        default="none",
    )
    keyring: bool = key(
        False,
        flag,
        "false",
        "Whether the passphrase is looked up in the desktop's keyring, under the service snap and "
        "the repository's id.",
        "passphrase from the keyring",
    )
    key_fingerprint: bytes | None = key(
        None,
        hex_bytes(32),
        f'"{"0123456789abcdef" * 4}"',
        "The fingerprint of the keys that an encrypted repository must have.",
        "keys that the repository must have (`snap key list` prints their fingerprint)",
        default="those that it had when it was last opened",
    )
    runbook: Path | None = key(
        None,
        path,
        '"docs/rollback.md"',
        "The runbook whose commands `snap drill` checks. One that is named here must be there.",
        "runbook",
        default="`docs/rollback.md` beside `snap.toml`, where it exists",
    )
    protected: bool = key(
        False,
        flag,
        "false",
        "Whether a restore, an undo and undo --discard need --i-know: for production.",
        "restore and undo need `--i-know`",
    )
    push: tuple[str, ...] = key(
        (),
        names,
        '["offsite"]',
        "The remotes that every commit is pushed to. A push that fails is a warning, shown by "
        "`snap check`; the next one sends what is missing.",
        "remotes that commits are pushed to",
        default="none",
    )
    services: ServicesTable | None = key(
        None,
        read_services,
        '["strapi"]',
        "What is stopped while a restore or an undo swaps databases, and started again: "
        "compose services, containers, systemd units (compose:NAME, container:NAME, unit:NAME, "
        "or just the name). Here, above all tables; or as tables [services.NAME], with stop "
        "and start (running, health and timeout where you like), or with one of compose, "
        "container, unit.",
        "what is stopped around a swap",
        Option("--stop", "SERVICE", "Stop it before the swap, start it after (repeatable)."),
        flags="`--stop` (restore, undo)",
        default="nothing",
    )
    retention: RetentionTable | None = key(
        None,
        read_retention,
        "",
        "What `snap gc` keeps of each database: a snapshot stays when one of the rules keeps "
        "it. With any rule here the default, the last 7, does not hold. Snapshots with a tag "
        'stay as well; where there are patterns of tags, as in ["pre-*"], only those with such '
        "a tag.",
        "what is kept",
        flags="`--keep-last` and others (gc)",
        default="the last 7, and what has a tag",
        keys=RETENTION_KEYS,
    )
    schedule: ScheduleTable | None = key(
        None,
        read_schedule,
        "",
        "What `snap schedule install` lets run by itself, in cron's syntax or by name "
        '("@daily"). Jobs are commit, gc, verify, drill and check; each may have options of '
        "its verb. Nothing by default:",
        "what runs by itself",
        flags="`--commit` and others (schedule)",
        default="nothing",
        keys=SCHEDULE_KEYS,
    )
    drill: DrillTable | None = drill_key()
    alerts: AlertsTable | None = key(
        None,
        read_alerts,
        "",
        "Who gets a message on how runs end. A URL is a secret: it may stand in a file of its own. "
        "Nobody by default:",
        "who gets messages",
        default="nobody",
        keys=ALERTS_KEYS,
    )
    hooks: Mapping[str, str] | None = key(
        None,
        read_hooks,
        "",
        "Your own commands around those of snap, with JSON on their standard input. One before "
        "it that fails stops it. before_commit, after_commit, before_restore, after_restore, "
        "before_gc, after_gc:",
        "own commands before and after",
        default="none",
        keys=HOOK_KEYS,
    )
    remotes: Mapping[str, RemoteTable] | None = key(
        None,
        read_remotes,
        "",
        "Other repositories, off-site: tables [remotes.NAME] with a url, and a retention of their "
        "own. `snap remote add NAME URL` appends one.",
        "other repositories",
        default="none",
        keys=REMOTE_KEYS,
    )


KEYS = keys_of(ConfigFile)
