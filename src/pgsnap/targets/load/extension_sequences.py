"""Sets extensions' sequences, which no dump sets, after everything else is loaded."""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, literal
from pgsnap.words import some


def set_extension_sequences(
    session: Session, values: Mapping[str, tuple[int, bool]]
) -> tuple[str, ...]:
    """Set the sequences of *values*, by quoted name, in *session*'s database; return warnings.

    Failures do not fail the restore: another version of the extension may have no such sequence,
    and the role may lack privileges on what the extension created.
    """
    missing: list[str] = []
    warnings: list[str] = []
    for name, (last, is_called) in values.items():
        called = "true" if is_called else "false"
        try:
            rows = session.query(
                "SELECT pg_catalog.setval("
                f"pg_catalog.to_regclass({literal(name)})::pg_catalog.regclass, {last}, {called})"
            )
        except QueryFailed as error:
            warnings.append(
                f"a sequence of an extension could not be set ({error.message}); as a superuser:"
                f" SELECT setval({literal(name).strip()}, {last}, {called});"
            )
            continue
        if rows[0][0] is None:
            missing.append(name)
    if missing:
        warnings.append(f"the extensions here have no such sequences: {some(missing)}")
    return tuple(warnings)
