"""`snap mask`: a first file of masks, and whether it still fits."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import Revision
from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.text.program import named, program
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.masks.reading import new_key_file, read_masks
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import CheckRed, UsageError
from pgsnap.files.whole import write_at
from pgsnap.words import plural

if TYPE_CHECKING:
    from pgsnap.workflows.masks.plan import MaskPlan

EXAMPLES = """
snap mask init latest
snap mask check latest masks.toml
snap restore latest --to dev --mask masks.toml
"""
_ACTIONS = {"init": "", "check": ""}


def run(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="init|check", show_default=False)],
    revision: Revision,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="The file of masks.")
    ] = "masks.toml",
    force: Annotated[
        bool, typer.Option("--force", help="With init: replace a file that is there.")
    ] = False,
) -> None:
    """Write a first file of masks for a snapshot, or check that one fits.

    init lists every table and column, with suggestions by their names. check fails when a table
    or column is listed that is not there, or not listed, or a mask cannot work.
    """
    invocation = Invocation.of(ctx)
    if action == "init":
        _init(invocation, revision, file, force=force)
    elif action == "check":
        if force:
            raise UsageError("--force is for init: check writes nothing")
        _check(invocation, revision, file)
    else:
        raise UsageError(
            f'there is no "{program()} mask {action}"', hint=action_hint(action, _ACTIONS)
        )


def _init(invocation: Invocation, revision: str, file: str, *, force: bool) -> None:
    from pgsnap.workflows.masks.first import first_masks

    path = Path(file)
    if not file or path.suffix != ".toml":
        raise UsageError("a file of masks is called NAME.toml")
    if path.exists() and not force:
        raise UsageError(f'"{file}" exists', hint="Replace it: --force. Or name another file.")
    with open_to_read(invocation, revision) as (repo, snapshot_id):
        key_file, is_new = new_key_file()
        text = first_masks(repo, snapshot_id, revision, shlex.quote(file), str(key_file))
    try:
        write_at(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UsageError(f'cannot write "{file}"', detail=f"{error.strerror}.") from None
    if is_new:
        invocation.console.tell(f"made a key for the masks: {key_file}")
    fields = {"id": snapshot_id, "file": path.absolute(), "key_file": key_file, "key_made": is_new}
    check = f"snap mask check {shlex.quote(revision)} {shlex.quote(file)}"
    line = f"wrote {render.plain(file)}: look at every line of it, then: {named(check)}"
    invocation.console.emit(fields, [line])


def _check(invocation: Invocation, revision: str, file: str) -> None:
    from pgsnap.workflows.masks.documents import check_paths
    from pgsnap.workflows.masks.plan import check_masks

    masks = read_masks(invocation, file, "FILE")
    with open_to_read(invocation, revision) as (repo, snapshot_id):
        plan = check_masks(repo, snapshot_id, masks)
        warnings = plan.findings.warnings
        if not plan.findings.problems:
            with invocation.console.progress() as progress:
                snapshot = repo.snapshot(snapshot_id)
                warnings += check_paths(repo, snapshot, plan.masking, progress)
    problems = plan.findings.problems
    if problems:
        raise CheckRed(
            f"{file} does not fit {render.short_id(snapshot_id)}:"
            f" {plural(len(problems), 'problem')}",
            detail="\n".join(f"{each.message}. {each.detail}".strip() for each in problems),
            hint="\n".join(dict.fromkeys(each.hint for each in problems if each.hint)),
        )
    counts = _counts(plan)
    if not invocation.console.json:
        for warning in warnings:
            invocation.console.warn(f"warning: {warning}")
    tables = len(plan.tables)
    fields = {
        "id": snapshot_id,
        "file": Path(file).absolute(),
        "tables": tables,
        "columns": counts,
        "warnings": warnings,
    }
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    line = f"{render.plain(file)} fits {render.short_id(snapshot_id)}: {plural(tables, 'table')}"
    invocation.console.emit(fields, [f"{line}; columns: {told}" if told else line])


def _counts(plan: MaskPlan) -> dict[str, int]:
    """Return how many columns there are of each kind of mask."""
    from pgsnap.masking.masks import Kind

    found = {kind.value: 0 for kind in Kind}
    for rules in plan.masking.masks.tables.values():
        for rule in rules.values():
            found[rule.kind.value] += 1
    return found
