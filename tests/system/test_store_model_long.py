"""Long random histories of the store against its model; the same in small is in tests/property.

SNAP_MODEL_STEPS sets how many steps there are (some five to ten a second). With one SNAP_SEED the
histories differ from run to run only in what a kill hits.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from support.running.seeds import SEED
from support.store_model.rules import StoreRules

pytestmark = [pytest.mark.system, pytest.mark.timeout(0)]

STEPS = int(os.environ.get("SNAP_MODEL_STEPS", "200"))
STEPS_A_HISTORY = 40


def test_no_random_history_loses_a_snapshot() -> None:
    # Shrinking a failure takes hours where moments of kills differ from run to run.
    chosen = settings(
        max_examples=max(1, STEPS // STEPS_A_HISTORY),
        stateful_step_count=STEPS_A_HISTORY,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(type("Rules", (StoreRules,), {})), settings=chosen)
