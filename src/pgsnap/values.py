"""Data classes whose methods are made when the first of their values is.

The standard library compiles each method of a data class from text, 0.7 ms for a frozen one, while
its module is imported; and a command makes values of a tenth of the classes that it imports. Here
`__init__` alone is compiled, since it is called the most.
"""

from __future__ import annotations

import dataclasses
import operator
import reprlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

_T = TypeVar("_T")
# What a class without slots has and one with slots cannot be given.
_OF_LOOSE = ("__dict__", "__weakref__")
_ABSENT = object()
_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
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
    fields, added = _fields(made, declared, kw_only=options.get("kw_only", False))
    added |= _comparisons(fields, _ORDER if options.get("order") else ())
    added["__repr__"] = _representation(fields)
    # The rule of the standard library: what may change under its hash has none.
    frozen = options.get("frozen", False)
    compared = _getter([each.name for each in fields if each.compare])
    added["__hash__"] = (lambda self: hash(compared(self))) if frozen else None
    # Making __eq__ in a class sets this.
    own = {name for name in declared if name != "__hash__" or declared[name] is not None}
    # Last: who finds it finds the others.
    for name, value in added.items():
        if name not in own:
            setattr(made, name, value)
    if frozen:
        # Those of the model name its own class.
        for name, value in _refusals(made).items():
            setattr(made, name, value)
    made.__init__ = _beginning(made, fields, frozen=frozen)


def _fields(
    made: type[Any], declared: dict[str, Any], *, kw_only: bool
) -> tuple[tuple[dataclasses.Field[Any], ...], dict[str, Any]]:
    """Return the fields of *made*, and what the standard library adds to a class beside methods.
    Raises TypeError for a declaration that is wrong, or for what values do not have."""
    # Found on a class beside it: no thread may see this one with half of them. Without a text of
    # its own the class would be described by its signature, which takes as long as all else.
    model = _like(made, declared | {"__doc__": made.__doc__ or made.__name__})
    find = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)
    found = vars(find(model))
    fields = dataclasses.fields(model)
    if len(fields) < len(found["__dataclass_fields__"]) or not all(each.init for each in fields):
        raise TypeError(f"{made.__qualname__} has a field that is not given when a value is made")
    added = {
        name: value
        for name, value in found.items()
        if name not in (*_OF_LOOSE, "__doc__", *made.__annotations__)
        and value is not declared.get(name, _ABSENT)
    }
    return fields, added


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets the values of these fields from a value."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _comparisons(
    fields: tuple[dataclasses.Field[Any], ...], further: tuple[str, ...]
) -> dict[str, Any]:
    values_of = _getter([each.name for each in fields if each.compare])

    def comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Any, object], Any]:
        def method(self: Any, other: object) -> Any:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return compare(values_of(self), values_of(other))

        return method

    return {name: comparison(getattr(operator, name)) for name in ("__eq__", *further)}


def _representation(fields: tuple[dataclasses.Field[Any], ...]) -> Callable[[Any], str]:
    shown = [each.name for each in fields if each.repr]

    @reprlib.recursive_repr()
    def represent(self: Any) -> str:
        texts = [f"{name}={getattr(self, name)!r}" for name in shown]
        return f"{self.__class__.__qualname__}({', '.join(texts)})"

    return represent


def _beginning(
    made: type[Any], fields: tuple[dataclasses.Field[Any], ...], *, frozen: bool
) -> Callable[..., None]:
    """Return the `__init__` of *made*."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_absent": _ABSENT}
    given: dict[bool, list[str]] = {False: [], True: []}
    lines = []
    for each in fields:
        name = each.name
        parameter, value = name, name
        if each.default is not dataclasses.MISSING:
            known[f"_of_{name}"] = each.default
            parameter = f"{name}=_of_{name}"
        elif each.default_factory is not dataclasses.MISSING:
            known[f"_of_{name}"] = each.default_factory
            parameter, value = f"{name}=_absent", f"_of_{name}() if {name} is _absent else {name}"
        given[bool(each.kw_only)].append(parameter)
        lines.append(f'_set(self, "{name}", {value})' if frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    named = ["*", *given[True]] if given[True] else []
    parameters = ", ".join(["self", *given[False], *named])
    text = f"def __init__({parameters}):\n " + "\n ".join(lines or ["pass"])
    exec(text, known)
    begin: Callable[..., None] = known["__init__"]
    begin.__qualname__ = f"{made.__qualname__}.__init__"
    return begin


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
