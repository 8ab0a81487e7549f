"""Data classes whose methods are made when the first of their values is.

The standard library compiles each method of a data class from text, 0.4 ms for a frozen one, while
its module is imported; and a command makes values of a tenth of the classes that it imports.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

_T = TypeVar("_T")
# What a class without slots has and one with slots cannot be given.
_OF_LOOSE = ("__dict__", "__weakref__")
_ABSENT = object()
# Reentrant, since making the methods of a class makes those of its bases. One for all, since
# threads may want the same class at the same time.
_making = threading.RLock()

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, slots: bool = False, **options: bool) -> Callable[[type[_T]], type[_T]]:
        """Do what `dataclasses.dataclass` does, later: as soon as the class is called, or its
        fields are asked for. A wrong declaration is an error only then. Copying and pickling of
        frozen values are left out."""

        def decorate(cls: type[_T]) -> type[_T]:
            if not slots or "__init__" in vars(cls):
                return dataclasses.dataclass(slots=slots, **options)(cls)
            return _with_slots(cls, options)

        return decorate


class _Unmade:
    """Stands where a class will have a value that its methods are made with."""

    def __init__(self, name: str, make: Callable[[], None]) -> None:
        self._name = name
        self._make = make

    def __get__(self, instance: object, owner: type) -> Any:
        self._make()
        return getattr(owner, self._name)


def _with_slots(cls: type[Any], options: dict[str, bool]) -> Any:
    """Return *cls* with slots, which a class cannot get later, and with methods that make it."""
    declared = {name: value for name, value in vars(cls).items() if name not in _OF_LOOSE}
    names = tuple(cls.__annotations__)
    taken = {slot for base in cls.__mro__[1:] for slot in vars(base).get("__slots__", ())}
    body = {name: value for name, value in declared.items() if name not in names}
    body["__slots__"] = tuple(name for name in names if name not in taken)

    def make() -> None:
        with _making:
            if vars(made)["__init__"] is first:
                _make_methods(made, declared, options)

    def first(self: Any, *values: Any, **named: Any) -> None:
        make()
        made.__init__(self, *values, **named)

    body["__init__"] = first
    for name in ("__dataclass_fields__", "__dataclass_params__"):
        body[name] = _Unmade(name, make)
    made = _like(cls, body)
    return made


def _like(cls: type[Any], body: dict[str, Any]) -> Any:
    kind: Any = type(cls)
    made = kind(cls.__name__, cls.__bases__, dict(body))
    made.__qualname__ = cls.__qualname__
    return made


def _make_methods(made: type[Any], declared: dict[str, Any], options: dict[str, bool]) -> None:
    """Give *made* the methods of a data class with the body *declared*."""
    # Made on a class beside it: no thread may see this one with half of them.
    found = vars(dataclasses.dataclass(**options)(_like(made, declared)))
    added = {
        name: value
        for name, value in found.items()
        if name not in _OF_LOOSE
        and name not in made.__annotations__
        and value is not declared.get(name, _ABSENT)
    }
    if options.get("frozen"):
        # Those of the model name its own class.
        added |= _refusals(made)
    init = added.pop("__init__")
    for name, value in added.items():
        setattr(made, name, value)
    # Last: who finds it finds the others.
    made.__init__ = init


def _refusals(made: type[Any]) -> dict[str, Any]:
    """Return the methods that refuse to change a frozen value."""

    def refuse(self: Any, name: str) -> None:
        if type(self) is made or name in made.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def set_attribute(self: Any, name: str, value: Any) -> None:
        refuse(self, name)
        super(made, self).__setattr__(name, value)

    def delete_attribute(self: Any, name: str) -> None:
        refuse(self, name)
        super(made, self).__delattr__(name)

    return {"__setattr__": set_attribute, "__delattr__": delete_attribute}
