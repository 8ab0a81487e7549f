"""The error for a revision that names no snapshot, with a guess at what is meant."""

from __future__ import annotations

from pgsnap.errors import UnknownRevision
from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.moments import is_day
from pgsnap.words import did_you_mean, some

_SHOWN = 5
_SHORT_ID = regex(rf"[0-9a-fA-F]{{1,{ID_PREFIX_MIN - 1}}}")
# git's way to a parent.
_CARETS = regex(r"(?P<base>[^^]+)(?P<carets>\^+)")
# What other tools call the newest snapshot, and the one before it.
_LATEST = frozenset({"head", "@", "newest", "last", "current", "tip", "main", "master"})
_BEFORE = frozenset({"previous", "prev", "@{1}"})


def unknown_revision(repo: Repository, text: str, database: str | None) -> UnknownRevision:
    """Return the error for *text*; *database* is the label that is meant, if one is."""
    see = "See what there is: snap log, snap tag"
    labels = repo.databases()
    if database is not None and database not in labels:
        return UnknownRevision(
            f'no snapshot of database "{database}" is named "{text}"',
            detail=f"There are snapshots of {some(labels)}." if labels else "",
            hint=did_you_mean(database, labels, see),
        )
    of = f' of database "{database}"' if database is not None else ""
    detail = ""
    if _SHORT_ID.fullmatch(text):
        begun = repo.by_prefix(text.lower(), _SHOWN)
        some_of_them = ", ".join(one.hex()[:12] for one in begun)
        detail = f"Of an id at least {ID_PREFIX_MIN} characters are needed."
        detail += f" These begin so: {some_of_them}." if begun else ""
    return UnknownRevision(
        f'no snapshot{of} is named "{text}"',
        detail=detail,
        hint=_guess(repo, text, database, see),
    )


def _guess(repo: Repository, text: str, database: str | None, see: str) -> str:
    if is_day(text):
        return f"If the last one of that day is meant: @{text}. {see}"
    carets = _CARETS.fullmatch(text)
    if carets is not None:
        base = "latest" if carets["base"].lower() in _LATEST else carets["base"]
        return f'Did you mean "{base}~{len(carets["carets"])}"? {see}'
    for words, meant in ((_LATEST, "latest"), (_BEFORE, "latest~1")):
        if text.lower() in words:
            return did_you_mean(text, [meant], see, is_sure=True)
    for label in repo.databases():
        if label != database and text in repo.tags.names(label):
            return did_you_mean(text, [f"{label}/{text}"], see, is_sure=True)
    return did_you_mean(text, ["latest", *repo.tags.names(database)], see)
