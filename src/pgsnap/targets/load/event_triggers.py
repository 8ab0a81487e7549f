"""Keeps event triggers that extensions brought with them quiet while definitions are loaded.

CREATE EXTENSION makes them, long before pg_dump's text is at its end. There they would look at
what is half made, and forbid it, or log what nobody did in the source database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pgsnap.model import Section, SectionKind

# Without line ends: the lines of the dump keep their numbers. Who may not change them (they belong
# to a superuser) leaves them as they are.
_OFF = (
    b"DO $snap$ DECLARE t record; off text := ''; BEGIN"
    b" FOR t IN SELECT e.evtname, e.evtenabled FROM pg_catalog.pg_event_trigger e"
    b" WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D' LOOP BEGIN"
    b" EXECUTE pg_catalog.format('ALTER EVENT TRIGGER %I DISABLE', t.evtname);"
    b" off := off OPERATOR(pg_catalog.||) pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE%s;',"
    b" t.evtname, CASE t.evtenabled WHEN 'A' THEN ' ALWAYS' WHEN 'R' THEN ' REPLICA' ELSE '' END);"
    b" EXCEPTION WHEN insufficient_privilege THEN NULL; END; END LOOP;"
    b" PERFORM pg_catalog.set_config('snap.event_triggers', off, false); END $snap$; "
)
_ON = (
    b"DO $snap$ BEGIN IF pg_catalog.current_setting('snap.event_triggers', true)"
    b" OPERATOR(pg_catalog.<>) '' THEN"
    b" EXECUTE pg_catalog.current_setting('snap.event_triggers'); END IF; END $snap$;\n"
)


def quiet_event_triggers(
    blocks: Iterable[bytes], section: Callable[[], Section | None]
) -> Iterator[bytes]:
    """Yield *blocks*, and around the definitions behind the rows what turns event triggers off and
    on again that are there by then. *section* tells which section a block belongs to."""
    is_off = False
    for block in blocks:
        found = section()
        if not is_off and found is not None and found.name.kind is SectionKind.POST_DATA:
            is_off = True
            yield _OFF + block
        else:
            yield block
    if is_off:
        yield _ON
