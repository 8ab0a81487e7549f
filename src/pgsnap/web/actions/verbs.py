"""The verbs of the page, each as a form whose fields become the words of a command line.

The words are run by the command line itself, so that a verb does here what it does on a terminal.
No field becomes an option that the form does not have: values follow a "=" or the "--".
"""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.errors import UsageError
from pgsnap.values import dataclass

_VALUE_CHARS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. *option* is what its value follows; "" for an operand. *kind* is "text",
    "check" (the option has no value) or "label", one of the databases, where there are several."""

    name: str
    label: str
    option: str = ""
    kind: str = "text"
    help: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done: *about* says what it does and to what; *is_grave*: it replaces or hides
    something, and its button says so. *more* is the
    command with its fixed options, where it is not called like the verb."""

    name: str
    title: str
    about: str
    button: str
    fields: tuple[Field, ...] = ()
    is_grave: bool = False
    more: tuple[str, ...] = ()

    def words(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """Return the command line for the values of the form. Raises UsageError."""
        options, operands = [], []
        for one in self.fields:
            value = values.get(one.name, "").strip()
            if "\0" in value or len(value) > _VALUE_CHARS_MAX:
                raise UsageError(f'"{one.label}" has more than a command line takes')
            if not value:
                if one.is_required:
                    raise UsageError(f'"{one.label}" is empty')
            elif one.kind == "check":
                options.append(one.option)
            elif one.option:
                options.append(f"{one.option}={value}")
            else:
                operands.append(value)
        words = (*(self.more or (self.name,)), *options)
        return (*words, "--", *operands) if operands else words


_LABEL = Field("label", "Database", "--database", "label")


def _snapshot(label: str = "Snapshot") -> Field:
    return Field(
        "snapshot",
        label,
        is_required=True,
        help="A tag, an id, latest, latest~2 or @2026-01-02.",
    )


_VERBS = (
    Verb(
        "commit",
        "Record a snapshot",
        "Records the whole database as it is now. Nothing is recorded unless the dump is whole.",
        "Commit",
        (
            Field("message", "Message", "--message", help="What this snapshot is."),
            Field("tag", "Tag", "--tag", help="A name to come back to. May be left empty."),
        ),
    ),
    Verb(
        "tag",
        "Tag a snapshot",
        "A tag is a name for a snapshot; gc keeps what is tagged.",
        "Set the tag",
        (
            Field("name", "Tag", is_required=True),
            _snapshot(),
            Field("force", "Move the tag if it names another snapshot", "--force", "check"),
            _LABEL,
        ),
    ),
    Verb(
        "untag",
        "Delete a tag",
        "The snapshot stays; without a tag it may be dropped by a later gc.",
        "Delete the tag",
        (Field("name", "Tag", "--delete", is_required=True), _LABEL),
        is_grave=True,
        more=("tag",),
    ),
    Verb(
        "forget",
        "Forget a snapshot",
        "Hides it at once; a gc drops it after the grace period. Until then unforget brings it "
        "back.",
        "Forget",
        (
            _snapshot(),
            Field(
                "force",
                "Also if it is protected: tagged, the last one, or the newest verified one",
                "--force",
                "check",
            ),
            _LABEL,
        ),
        is_grave=True,
    ),
    Verb(
        "unforget",
        "Bring a snapshot back",
        "Lets a forgotten snapshot be seen again, if no gc has dropped it yet.",
        "Bring back",
        (_snapshot(), _LABEL),
    ),
    Verb(
        "verify",
        "Verify the repository",
        "Checks that every snapshot can be read whole, and names what is damaged.",
        "Verify",
        (
            Field("data", "Read every byte and compare it with its hash", "--data", "check"),
            Field(
                "sample",
                "Read only so much",
                "--sample",
                help="As 10% or 1GB: what was read longest ago. May be left empty.",
            ),
            Field("snapshot", "Only this snapshot", help="All, if this is left empty."),
            _LABEL,
        ),
    ),
    Verb(
        "drill",
        "Test the rollback",
        "Restores a snapshot beside the live database, which is only read, and compares.",
        "Drill",
        (
            Field("snapshot", "Snapshot", help="The newest, if this is left empty."),
            Field(
                "throw_away",
                "On a private PostgreSQL on this machine, which is thrown away",
                "--throw-away",
                "check",
            ),
            _LABEL,
        ),
    ),
    Verb(
        "compare",
        "Compare with the live database",
        "Reads the live database as a commit does, and shows what has changed in it since the "
        "snapshot: what going back would take back. Nothing is recorded or changed.",
        "Compare",
        (_snapshot(), _LABEL),
        more=("diff",),
    ),
    Verb(
        "restore",
        "Restore",
        "Shows what it is about to do, and asks for the database's name before anything is "
        "replaced. What is replaced is kept: undo puts it back.",
        "Show the plan",
        (
            _snapshot(),
            Field(
                "table",
                "Only this table",
                "--table",
                help="As public.orders: beside the live one, unless it is to be replaced. The "
                "whole database, if this is left empty.",
            ),
            Field("replace", "Replace the live table, which is kept", "--replace", "check"),
            Field(
                "rows",
                "Only these rows of it, into the live table",
                "--rows",
                help="A condition as after WHERE, such as id in (17, 18). May be left empty.",
            ),
            Field(
                "row",
                "Only this row of it, into the live table",
                "--row",
                help="Its primary key, such as 17. May be left empty.",
            ),
            Field(
                "delete",
                "Delete rows of these that the snapshot lacks",
                "--delete",
                "check",
            ),
            Field(
                "changed_only",
                "Put back only what differs, in the live database itself",
                "--changed-only",
                "check",
            ),
            Field(
                "to",
                "Make a new database of this name",
                "--to",
                help="Nothing is replaced then. May be left empty.",
            ),
            Field("dry_run", "Only show what it would do", "--dry-run", "check"),
            Field("create_roles", "Make the roles that are missing", "--create-roles", "check"),
            _LABEL,
        ),
        is_grave=True,
    ),
    Verb(
        "undo",
        "Undo the last restore",
        "Puts back what the last restore or undo replaced. What is there now is recorded first.",
        "Show the plan",
        (
            Field(
                "whole",
                "The replaced database, whatever was restored in it since",
                "--whole",
                "check",
            ),
            _LABEL,
        ),
        is_grave=True,
    ),
    Verb(
        "discard",
        "Drop the kept database",
        "Drops what the last restore replaced, for good, once you say yes to its name and size. "
        "After that it cannot be undone.",
        "Show what is dropped",
        (_LABEL,),
        is_grave=True,
        more=("undo", "--discard"),
    ),
)
VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _VERBS}
