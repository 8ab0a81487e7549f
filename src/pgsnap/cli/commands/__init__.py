"""One module per command: settings, workflow, rendering, and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

# By what somebody wants to do, in the order of a first day with snap, each with the first
# sentence of its help; `snap --help` shows this, and imports no command for it.
GROUPS = {
    "Record": {
        "init": "Make a repository, and a commented snap.toml where there is none.",
        "commit": "Record the whole database as a snapshot.",
        "run": "Commit, run a command such as a migration, and show what it changed.",
        "tag": "List the tags, set one, move one or delete one.",
    },
    "Look": {
        "status": "Show which snapshot the live database equals or stems from, and what runs next.",
        "log": "List the snapshots, newest first; with --table and --row the history of that row.",
        "show": "Show one snapshot: its database, versions, and sections with sizes.",
        "diff": "Show what differs: rows by table, definitions, sequences.",
        "blame": "Show which snapshot gave each column of a row the value it has.",
        "report": "Write a report as one file: for a pull request, a mail, an archive.",
        "ui": "Show the repository as a page, on this machine alone, until Ctrl-C.",
        "open": "Look into a snapshot: psql in a throw-away PostgreSQL with it.",
        "query": "Print what a snapshot answers to one query.",
        "bisect": "Find the first snapshot in which an answer changed.",
    },
    "Go back": {
        "restore": "Restore a snapshot, by default to the database that it came from.",
        "undo": "Undo the last restore or undo: of the whole database, of tables, or "
        "of what differed.",
        "drill": "Test the rollback: restore beside the live database and compare.",
    },
    "Other formats": {
        "cat": "Write a snapshot as plain SQL to standard output, fit for psql.",
        "export": "Write a snapshot to a plain dump file, or its tables to files for "
        "other programs.",
        "mask": "Write a first file of masks for a snapshot, or check that one fits.",
        "import": "Record existing dump files as snapshots, dated by their names.",
    },
    "The repository": {
        "forget": "Forget snapshots: they are hidden at once, and dropped by a later gc.",
        "unforget": "Bring a forgotten snapshot back, as long as no gc dropped it.",
        "gc": "Drop old snapshots and free what nothing needs any more.",
        "stats": "Show what the repository takes, by database, snapshot or table.",
        "verify": "Check that every snapshot can be read whole; name what is damaged.",
        "repair": "Mend what is damaged or missing, from what is left and from a copy.",
        "reindex": "Rebuild the index from packs and manifests alone.",
    },
    "Copies elsewhere": {
        "push": "Send a remote the snapshots that it lacks, with their notes and tags.",
        "fetch": "Look up which snapshots and tags a remote has; none of their data is fetched.",
        "pull": "Fetch the snapshots that a remote has and this repository lacks, with "
        "notes and tags.",
        "clone": "Make a repository with everything that another one has: after a loss, "
        "from off-site.",
        "remote": "List the remotes of snap.toml, add or remove one, or check what its "
        "store can do.",
        "key": "List what opens an encrypted repository, or change it.",
    },
    "Operation": {
        "schedule": "Let commits, pushes, gc, checks and drills run by themselves.",
        "check": "Tell a monitor in one line whether the backups are well.",
        "doctor": "Look at the whole set-up and say what to do next, in order.",
        "audit": "List who ran what and with what result, oldest first.",
        "database": "List the databases of the repository, or say what became of one.",
    },
    "Help": {
        "demo": "Take the tour: commit, break, restore, undo on a throw-away server.",
        "completion": "Print the script that completes commands in a shell, or install it.",
        "help": "Show the help of a command, what the exit codes mean, or the options "
        "of every command.",
    },
}
NAMES = tuple(name for names in GROUPS.values() for name in names)


def module(name: str) -> Any:
    """Return the module of a command. Its `run` is the command, whose docstring is the help;
    EXAMPLES is appended to it."""
    # "import" is a keyword of Python.
    return importlib.import_module(f"{__name__}.{'import_' if name == 'import' else name}")
