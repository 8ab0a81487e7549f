"""`snap cat`: a snapshot as plain SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import MaskFile, Revision, WithExtensionSequences
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.masks.reading import load_masks
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import UsageError

EXAMPLES = """
set -o pipefail; snap cat latest | psql -X -v ON_ERROR_STOP=1 shop_copy
snap cat pre-migration --section pre-data
snap cat latest --section 'data public.orders' | head
snap cat latest --section globals
"""


def run(
    ctx: typer.Context,
    revision: Revision,
    section: Annotated[
        list[str] | None,
        typer.Option(
            "--section",
            metavar="NAME",
            help="Only this section, named as by `snap show` (repeatable).",
        ),
    ] = None,
    with_secrets: Annotated[
        bool,
        typer.Option("--with-secrets", help="Show the password verifiers of roles (globals only)."),
    ] = False,
    with_extension_sequences: WithExtensionSequences = False,
    mask: MaskFile = None,
) -> None:
    """Write a snapshot as plain SQL to standard output, fit for psql.

    Globals (roles, tablespaces) only with --section globals. Damage met later ends the output
    with a statement that fails, and exit code 60: use `set -o pipefail` and ON_ERROR_STOP.
    """
    from pgsnap.workflows.history.cat import cat

    invocation = Invocation.of(ctx)
    console = invocation.console
    if console.json:
        raise UsageError(
            "cat writes SQL, so --json has no meaning for it", hint="Run `snap show REV --json`."
        )
    if section and with_extension_sequences:
        raise UsageError(
            "--with-extension-sequences is for the whole dump",
            hint="With --section, name them: --section extension-sequences.",
        )
    if mask is not None and with_secrets:
        raise UsageError(
            "--with-secrets shows what --mask is to hide", hint="Leave out one of them."
        )
    masks = load_masks(invocation, mask)
    with open_to_read(invocation, revision) as (repo, snapshot_id):
        blocks = cat(
            repo,
            snapshot_id,
            sections=section or (),
            with_secrets=with_secrets,
            with_extension_sequences=with_extension_sequences,
            masks=masks,
        )
        if console.terminal.stdout_is_terminal:
            console.warn("warning: the dump goes to the terminal; pipe it into psql or a file")
        for block in blocks:
            console.terminal.write_bytes(block)
        console.terminal.flush()
