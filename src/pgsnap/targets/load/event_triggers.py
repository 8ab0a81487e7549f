"""Disables event triggers created by extensions while definitions are loaded.

CREATE EXTENSION creates them long before the end of pg_dump's text. They would fire on half-created
objects, and forbid them, or log actions that nobody took in the source database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.model import DumpEvent, SectionKind, SectionStart

# Without line ends, so that line numbers of the dump stay the same. If we may not alter them (they
# belong to a superuser), they stay enabled.
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


def quiet_event_triggers(events: Iterable[DumpEvent]) -> Iterator[DumpEvent]:
    """Yield *events*, with statements around the post-data definitions that disable the event
    triggers existing by then, and enable them again."""
    is_off = False
    for event in events:
        yield event
        if (
            not is_off
            and isinstance(event, SectionStart)
            and event.name.kind is SectionKind.POST_DATA
        ):
            is_off = True
            yield _OFF
    if is_off:
        yield _ON
