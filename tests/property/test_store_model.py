"""Random histories of the store against a model; long ones are in tests/system."""

from __future__ import annotations

from hypothesis import Phase, settings

from support.store_model.rules import StoreRules

TestStore = StoreRules.TestCase
TestStore.settings = settings(
    max_examples=3,
    stateful_step_count=15,
    derandomize=True,
    # What a failure shrinks to changes with the moment of a kill.
    phases=[Phase.generate],
)
