"""`values.dataclass` does what `dataclasses.dataclass` does, but makes methods only when wanted."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable
from dataclasses import field
from typing import Any

import pytest

import pgsnap
from pgsnap import values
from pgsnap.values import dataclass


def place() -> Any:
    """Return a new class, of which no value was made yet."""

    @dataclass(frozen=True, slots=True, order=True)
    class Place:
        pack: str
        offset: int = 7
        near: list[int] = field(default_factory=list, compare=False)

        @property
        def words(self) -> str:
            return f"{self.pack} at {self.offset}"

    return Place


def test_a_value_has_what_one_of_the_standard_library_has() -> None:
    made = place()
    one = made("a")
    assert (one.pack, one.offset, one.near, one.words) == ("a", 7, [], "a at 7")
    assert one == made("a", 7) != made("b")
    assert one < made("b")
    assert hash(one) == hash(made("a"))
    assert one.near is not made("a").near
    assert repr(one).endswith("Place(pack='a', offset=7, near=[])")
    assert dataclasses.replace(one, offset=8) == made("a", 8)
    assert dataclasses.asdict(one) == {"pack": "a", "offset": 7, "near": []}
    assert made.__match_args__ == ("pack", "offset", "near")


def test_a_frozen_value_refuses_every_change() -> None:
    one = place()("a")
    for name in ("pack", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=name):
            setattr(one, name, "b")
    with pytest.raises(dataclasses.FrozenInstanceError, match="pack"):
        del one.pack
    assert not hasattr(one, "__dict__")


def test_one_that_is_not_frozen_can_be_changed_and_not_be_hashed() -> None:
    @dataclass(slots=True)
    class Count:
        rows: int = 0

    one = Count()
    one.rows = 3
    assert one == Count(3)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(AttributeError, match="other"):
        one.other = 1  # type: ignore[attr-defined]


def test_a_class_has_the_fields_of_its_base_and_may_give_them_other_defaults() -> None:
    base = place()

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Far(base):  # type: ignore[misc, valid-type]
        offset: int = 9
        host: str

    one = Far("a", host="x")
    assert [each.name for each in dataclasses.fields(Far)] == ["pack", "offset", "near", "host"]
    assert (one.pack, one.offset, one.host) == ("a", 9, "x")
    assert base("a").offset == 7
    assert vars(Far)["__slots__"] == ("host",)


def test_methods_are_made_with_the_first_value_or_question_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    real = dataclasses.dataclass

    def counting(**options: bool) -> Any:
        def decorate(cls: type[Any]) -> type[Any]:
            made.append(cls.__name__)
            return real(**options)(cls)

        return decorate

    monkeypatch.setattr(values.dataclasses, "dataclass", counting)
    first, second = place(), place()
    assert made == []
    assert first("a") != first("b")
    assert made == ["Place"]
    assert dataclasses.is_dataclass(second)
    assert len(dataclasses.fields(second)) == 3
    assert second("a").offset == 7
    assert made == ["Place", "Place"]


def test_a_wrong_call_is_refused_as_ever() -> None:
    made = place()
    for _ in range(2):
        with pytest.raises(TypeError, match="pack"):
            made()


def test_threads_that_make_the_first_value_at_the_same_time_each_get_one() -> None:
    for _ in range(50):
        made, found = place(), []
        start = threading.Barrier(4)

        def make(made: Any = made, found: list[Any] = found, start: Any = start) -> None:
            start.wait()
            found.append(made("a", offset=1) if len(dataclasses.fields(made)) == 3 else None)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [made("a", 1)] * 4


def test_a_class_with_an_own_way_to_begin_keeps_it() -> None:
    @dataclass(slots=True)
    class Own:
        rows: int

        def __init__(self, text: str) -> None:
            self.rows = int(text)

    assert Own("3").rows == 3


def of_both(declare: Callable[[Any], Any]) -> list[Any]:
    """Return a class as this package makes it and as the standard library does."""
    return [declare(dataclass), declare(dataclasses.dataclass)]


def declared(make: Any) -> Any:
    @make(frozen=True, slots=True)
    class Row:
        table: str
        parts: tuple[Any, ...] = ()
        seen: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
        note: str = field(default="", kw_only=True)

        def __post_init__(self) -> None:
            if not self.table:
                raise ValueError("no table")

    return Row


def with_own_methods(make: Any) -> Any:
    @make(frozen=True, slots=True)
    class Named:
        name: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, type(self)) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return 7

        def __repr__(self) -> str:
            return "named"

    return Named


def test_values_are_shown_compared_and_hashed_as_those_of_the_standard_library() -> None:
    for made in of_both(declared):
        one = made("a", (1, float("nan")), {"x": 1}, note="n")
        assert repr(one) == f"{made.__qualname__}(table='a', parts=(1, nan), note='n')"
        assert one == made("a", one.parts, note="n") != made("a", one.parts)
        assert hash(one) == hash(made("a", one.parts, {"y": 2}, note="n"))
        assert one != "a"
        assert made("a").seen is not made("a").seen
        with pytest.raises(ValueError, match="no table"):
            made("")
        given = inspect.signature(made.__init__).parameters.values()
        assert [each.name for each in given] == ["self", "table", "parts", "seen", "note"]
        assert [each.kind for each in given][-1] is inspect.Parameter.KEYWORD_ONLY


def test_methods_of_its_own_stay() -> None:
    for made in of_both(with_own_methods):
        assert made("A") == made("a")
        assert (hash(made("A")), repr(made("A"))) == (7, "named")


def test_a_value_that_contains_itself_can_be_shown() -> None:
    @dataclass(slots=True)
    class Node:
        of: list[Any]

    one = Node([])
    one.of.append(one)
    assert repr(one).endswith("Node(of=[...])")


def test_a_wrong_declaration_is_an_error_of_the_first_value() -> None:
    @dataclass(slots=True)
    class Late:
        rows: int = field(default=0, init=False)

    with pytest.raises(TypeError, match="Late"):
        Late()


def test_every_value_of_the_package_can_be_made() -> None:
    """A wrong declaration would be an error only where a value is made."""
    made = 0
    for found in pkgutil.walk_packages(pgsnap.__path__, "pgsnap."):
        if found.name.endswith("__main__"):
            continue
        for each in vars(importlib.import_module(found.name)).values():
            if isinstance(each, type) and each.__module__ == found.name:
                made += len(dataclasses.fields(each)) if dataclasses.is_dataclass(each) else 0
    assert made > 1000
