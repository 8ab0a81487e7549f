"""Random histories of the store against a model; the same for minutes is in tests/system."""

from __future__ import annotations

from hypothesis import settings

from support.store_rules import StoreRules

TestStore = StoreRules.TestCase
TestStore.settings = settings(
    max_examples=6, stateful_step_count=15, deadline=None, derandomize=True
)
