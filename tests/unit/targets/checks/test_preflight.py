"""Several reasons that forbid something, told as one."""

from __future__ import annotations

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.targets.checks.preflight import Problem, refuse


def test_a_reason_that_begins_with_a_name_keeps_it_as_it_is() -> None:
    problems = [
        Problem("public.orders is a partition", hint="a"),
        Problem("there is no role bob", hint="b"),
        Problem("my_view, which reads it, stays", hint="c"),
    ]
    with pytest.raises(TargetRefused) as refused:
        refuse(problems, "the restore")
    assert refused.value.detail.splitlines() == [
        "(1) public.orders is a partition.",
        "(2) There is no role bob.",
        "(3) my_view, which reads it, stays.",
    ]
