"""JSON -> frozen values of the model, whose annotations define what each field may hold.

Fields read by name are checked like those read by number: a value of another type, out of range or
not of its form is damage, however consistent the object around it is. It may have been written by
an untrusted party.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from pgsnap.errors import CorruptionError
from pgsnap.values import dataclass

_Value = TypeVar("_Value")
_Check: TypeAlias = "Callable[[Any, str], Any]"

INTEGER_MAX = 2**63 - 1
# A value takes up to a hundred bytes of memory: 40 MB.
VALUES_MAX = 400_000


@dataclass(frozen=True, slots=True)
class Form:
    """What the type of a field does not define: the range of an integer (default: 0 to 2^63 - 1),
    the pattern of a text or of each text in a list."""

    low: int = 0
    high: int = INTEGER_MAX
    pattern: re.Pattern[str] | None = None


Forms: TypeAlias = Mapping[tuple[type, str], Form]


class WrongForm(ValueError):
    """A value that snap would never have written."""


def load_json(data: bytes) -> Any:
    """Return the JSON value *data*; the number of values in it is limited. Raises ValueError."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > VALUES_MAX:
        raise WrongForm("it has too many values")
    try:
        return json.loads(data)
    except RecursionError:
        raise WrongForm("it is nested too deeply") from None


def build(of: type[_Value], loaded: Any, forms: Forms) -> _Value:
    """Return the instance of *of* that *loaded* describes; unknown keys are ignored. Raises
    ValueError."""
    if type(loaded) is not dict:
        raise WrongForm(f"{of.__name__} is no object")
    checks = _checks(typing.cast(Any, of), forms if isinstance(forms, _Frozen) else _Frozen(forms))
    words = {key: checks[key](value, key) for key, value in loaded.items() if key in checks}
    try:
        return of(**words)
    except TypeError as error:
        # A field without a default is missing.
        raise WrongForm(str(error)) from None


class _Frozen(dict[tuple[type, str], Form]):
    """Forms that can be a cache key: there are only a few, created at import."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def frozen(forms: Forms) -> Forms:
    """Return *forms* for `build`, which then inspects each type only once."""
    return _Frozen(forms)


@functools.cache
def _checks(of: Any, forms: _Frozen) -> dict[str, _Check]:
    hints = typing.get_type_hints(of)
    return {
        item.name: _check(hints[item.name], forms.get((of, item.name), Form()), forms)
        for item in dataclasses.fields(of)
    }


def _check(hint: Any, form: Form, forms: _Frozen) -> _Check:
    """Return a function that checks and converts a value for the annotation *hint*."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (part for part in typing.get_args(hint) if part is not type(None))
        check = _check(inner, form, forms)
        return lambda value, name: None if value is None else check(value, name)
    if origin is tuple:
        each = _check(typing.get_args(hint)[0], form, forms)
        return lambda value, name: tuple(each(item, name) for item in _of(list, value, name))
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return lambda value, name: hint(_text(value, name, form))
    if hint is str:
        return lambda value, name: _text(value, name, form)
    if hint is int:
        return lambda value, name: _integer(value, name, form)
    if hint is bool:
        return lambda value, name: _of(bool, value, name)
    if dataclasses.is_dataclass(hint):
        return lambda value, name: build(typing.cast(type, hint), value, forms)
    raise TypeError(f"no stored value has the type {hint}")


def _of(wanted: type[_Value], value: Any, name: str) -> _Value:
    # Not isinstance: true and false are integers too.
    if type(value) is not wanted:
        raise WrongForm(f"{name} is no {wanted.__name__}")
    return value


def _integer(value: Any, name: str, form: Form) -> int:
    number = _of(int, value, name)
    if not form.low <= number <= form.high:
        raise WrongForm(f"{name} is out of range")
    return number


def _text(value: Any, name: str, form: Form) -> str:
    text = _of(str, value, name)
    check_text(text, name)
    if form.pattern is not None and form.pattern.fullmatch(text) is None:
        raise WrongForm(f"{name} is not of its form")
    return text


def check_text(text: str, name: str) -> None:
    """Raise ValueError for what neither a PostgreSQL text nor a file name can contain."""
    if "\0" in text:
        raise WrongForm(f"{name} holds a NUL byte")
    if not text.isascii():
        # Bytes that are not UTF-8 become surrogate escapes; other surrogates are invalid.
        text.encode("utf-8", "surrogateescape")


def damaged(what: str, part: str, error: Exception) -> CorruptionError:
    return CorruptionError(f"{what} is damaged", detail=f"Its {part}: {error}.")
