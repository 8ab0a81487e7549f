"""NumPy without the threads of its linear algebra.

OpenBLAS, which NumPy brings along, starts a thread for each processor while it is loaded, and each
looks for work for some time before it sleeps: of a short command that is a tenth of all processor
time on two processors, and more on more. Nothing here multiplies matrices.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_PACKAGE = "numpy"
_COUNT = "OPENBLAS_NUM_THREADS"


def load_numpy_with_one_thread() -> None:
    """See to it that NumPy, once something imports it, starts no threads.

    The variable that says so is set for as long as that takes: programs that are run later get the
    environment as it was. Where it is set already, it stays as it is.
    """
    if _PACKAGE not in sys.modules and _COUNT not in os.environ:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds NumPy as any other package is found, once, and sets the variable while it runs."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def with_one_thread(module: ModuleType) -> None:
            # Not by `os.environ`, of which another thread may be making a program's environment.
            os.putenv(_COUNT, "1")
            try:
                execute(module)
            finally:
                os.unsetenv(_COUNT)

        spec.loader.exec_module = with_one_thread  # type: ignore[method-assign]
        return spec
