"""What is meant by a command that snap does not have: a typo, or another tool's word for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgsnap.cli import commands
from pgsnap.words import did_you_mean, nearest

_RESTORE = "Put a snapshot in the live database's place: snap restore REV; beside it: --to NEW."

# The commands, how each is used, and what other tools call it: git, restic, borg, DSLR,
# pgBackRest, WAL-G.
_MEANT: tuple[tuple[str, str, str], ...] = (
    (
        "commit",
        "Record the database: snap commit -m TEXT.",
        "backup save snapshot add create store stage backup-push ci",
    ),
    (
        "commit",
        "Record what is there: snap commit -m TEXT; put it back later: snap restore latest.",
        "stash shelve",
    ),
    ("restore", _RESTORE, "checkout co switch reset rollback load recover backup-fetch use apply"),
    (
        "restore",
        "Snapshots are not merged; tables are put back one by one: snap restore REV --table T.",
        "merge rebase cherry-pick",
    ),
    (
        "open",
        "Look into a snapshot: snap open REV; to keep it: snap restore REV --to NEW.",
        "mount browse look psql",
    ),
    ("query", "Ask a snapshot: snap query REV SQL; for psql in it: snap open REV.", "ask select"),
    (
        "undo",
        "Take back the last restore: snap undo; go back to any snapshot: snap restore REV.",
        "revert unrestore redo",
    ),
    (
        "log",
        "List the snapshots: snap log.",
        "list ls snapshots history backup-list reflog archives backups last",
    ),
    ("bisect", "Find the first snapshot that differs: snap bisect --sql QUERY.", "find search"),
    ("show", "See what is in a snapshot: snap show REV.", "info inspect describe"),
    ("tag", "Give a snapshot a name: snap tag NAME REV.", "branch label bookmark mark rename mv"),
    (
        "forget",
        "Drop a snapshot: snap forget REV; a tag: snap tag --delete NAME.",
        "delete rm remove drop expire del",
    ),
    ("gc", "Apply the retention, and free space: snap gc.", "prune compact cleanup clean purge"),
    ("verify", "Read and compare what is stored: snap verify --data.", "fsck scrub validate"),
    ("drill", "Try a restore: snap drill.", "test rehearse rollback-test"),
    ("reindex", "Build the index again: snap reindex.", "rebuild-index rebuild"),
    (
        "cat",
        "Print a snapshot as SQL: snap cat REV; record the database: snap commit -m TEXT.",
        "dump print sql pg_dump",
    ),
    ("diff", "Compare two snapshots, or one with the database: snap diff REV.", "compare delta"),
    ("push", "Send to a remote what it lacks: snap push REMOTE.", "upload sync send"),
    ("pull", "Fetch from a remote: snap pull REMOTE.", "download receive"),
    ("clone", "Copy a whole repository: snap clone URL PATH.", "copy mirror cp"),
    ("remote", "Other repositories: snap remote list.", "remotes"),
    ("init", "Make a repository: snap init.", "new setup stanza-create rcreate initdb"),
    ("key", "The keys of an encrypted repository: snap key list.", "keys password passphrase"),
    ("schedule", "What runs by itself: snap schedule show.", "cron timer timers"),
    ("audit", "Who did what: snap audit.", "who"),
    ("stats", "What the repository takes: snap stats.", "du size sizes usage"),
    (
        "doctor",
        "Settings stand in snap.toml; see whether they will do: snap doctor.",
        "config configure settings unlock self-test",
    ),
    ("status", "See which snapshot the database is: snap status.", "st head whoami"),
    ("check", "See whether all is well: snap check.", "health monitor"),
    ("help", "See what there is: snap help.", "man usage commands"),
)

_ACTIONS = {
    "rm": ("remove", "retire"),
    "delete": ("remove", "retire"),
    "del": ("remove", "retire"),
    "drop": ("remove", "retire"),
    "uninstall": ("remove",),
    "ls": ("list", "show"),
    "list": ("show",),
    "show": ("list",),
    "status": ("show", "check", "list"),
    "new": ("add",),
    "create": ("add", "install"),
    "set": ("add", "install"),
    "add": ("install",),
    "mv": ("rename",),
    "change": ("rotate", "rename"),
    "passwd": ("rotate",),
    "start": ("run",),
    "test": ("check", "run"),
}


def meant(verb: str) -> str:
    """Return what to write instead of *verb*, "" if that cannot be guessed."""
    others = {
        word: (name, way)
        for name, way, words in _MEANT
        if name in commands.NAMES
        for word in words.split()
        if word not in commands.NAMES
    }
    known = verb if verb in others else nearest(verb, [*commands.NAMES, *others])
    if known is None:
        return ""
    if known not in others:
        return did_you_mean(verb, [known])
    name, way = others[known]
    return f'Did you mean "{name}"? {way}'


def action_hint(action: str, known: Iterable[str] | Mapping[str, object]) -> str:
    """Return what to write instead of *action*, of a command that has the *known* ones."""
    there = list(known)
    aliases = [one for one in _ACTIONS.get(action.lower(), ()) if one in there]
    return did_you_mean(
        action, aliases[:1] or there, f"It knows {', '.join(there)}.", is_sure=bool(aliases)
    )
