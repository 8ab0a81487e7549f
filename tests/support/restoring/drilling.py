"""What tests of the drill share: its options, its checks by name, databases that fail it."""

from __future__ import annotations

import os
from pathlib import Path

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.workflows.drill.drill import DrillOptions, ThrowAway, drill
from pgsnap.workflows.drill.report import Check, DrillReport
from pgsnap.workflows.drill.runbook import Grammar, Runbook

RESTORE = Grammar({"restore": frozenset({"--yes"})})


def drill_now(
    repo: Repository,
    snapshot: SnapshotId,
    server: Server,
    folder: Path,
    *,
    dry_run: bool = False,
    throw_away: ThrowAway | None = None,
) -> DrillReport:
    """Drill with the assertions of ``folder/checks`` and the runbook ``folder/rollback.md``."""
    options = DrillOptions(
        runbook=Runbook(folder / "rollback.md", grammar=RESTORE),
        assertions=folder / "checks",
        trusted=frozenset({os.getuid()}),
        dry_run=dry_run,
    )
    return drill(repo, snapshot, server, options, throw_away=throw_away)


def checks_of(report: DrillReport) -> dict[str, Check]:
    return {check.check: check for check in report.checks}


def of_status(report: DrillReport, status: str) -> list[str]:
    """Return the names of the checks that ended so."""
    return [check.check for check in report.checks if check.status == status]


def failures(report: DrillReport) -> dict[str, str]:
    """Return the reasons of the checks that failed, by name."""
    return {check.check: check.reason for check in report.failed}


# A function that does another thing in another database, called while rows are restored, and once
# more at the end, by the view.
MISCHIEF = """
CREATE TABLE account (id int PRIMARY KEY, amount int, note text);
INSERT INTO account SELECT g, g * 10, 'n' || g FROM generate_series(1, 50) g;
CREATE SEQUENCE counter;
SELECT setval('counter', 41), lo_from_bytea(4711, 'abc');
CREATE FUNCTION meddle() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_database() LIKE '%%\\_\\_snap\\_%%' THEN
        {what};
    END IF;
    RETURN true;
END $$;
CREATE TABLE payment (id int PRIMARY KEY, CHECK (public.meddle()));
INSERT INTO payment VALUES (1);
CREATE MATERIALIZED VIEW seen AS SELECT public.meddle() AS done;
"""
