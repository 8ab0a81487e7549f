"""What a commit read, as canonical JSON: like the origin, it is read by name (`origin`)."""

from __future__ import annotations

from pgsnap.format.by_name.forms import WrongForm, build, damaged, frozen, load_json
from pgsnap.format.by_name.origin import as_json
from pgsnap.limits import FULL_READS_LISTED_MAX
from pgsnap.model import ChangeWay, Reading, ReadMode

FORMS = frozen({})


def encode_reading(reading: Reading) -> bytes:
    return as_json(reading)


def decode_reading(data: bytes, what: str) -> Reading | None:
    """Return what *data* says; None if it names what only a later version knows. Raises
    CorruptionError."""
    try:
        loaded = load_json(data)
        if isinstance(loaded, dict) and (
            loaded.get("mode") not in list(ReadMode) or loaded.get("way") not in [None, *ChangeWay]
        ):
            return None
        found = build(Reading, loaded, FORMS)
        if len(found.full_reads) > FULL_READS_LISTED_MAX:
            raise WrongForm("it lists too many tables")
        return found
    except ValueError as error:
        raise damaged(what, "reading", error) from None
