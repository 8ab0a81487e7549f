"""Regular expressions that are compiled when they are first used.

Compiling one takes a tenth of a millisecond or more, and a command imports several hundred of them
but uses a tenth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

__all__ = ["regex"]

if TYPE_CHECKING:
    from re import compile as regex
else:

    def regex(pattern: str | bytes, flags: int = 0) -> _Late:
        """Return what `re.compile` does, later: a wrong pattern is an error only where it is used.
        Its methods and attributes are there; `re.sub` and the like do not take it."""
        return _Late(pattern, flags)


_OF_PATTERNS = tuple(name for name in dir(re.compile("")) if not name.startswith("_"))


class _Late:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        compiled: re.Pattern[Any] = re.compile(*self._given)
        # From now on these are found without coming here.
        vars(self).update({each: getattr(compiled, each) for each in _OF_PATTERNS})
        return getattr(compiled, name)
