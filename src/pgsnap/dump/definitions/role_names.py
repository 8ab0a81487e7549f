"""The roles, besides owners, named in a dump's definitions: in rights, policies, user mappings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.definitions.statements import Kind, Token, significant, statements
from pgsnap.dump.entries import decode

_RIGHTS = (b"ACL", b"DEFAULT ACL")
_OTHERS = (b"POLICY", b"USER MAPPING")
# Key words in place of a role.
_NO_ROLES = frozenset({"public", "current_user", "session_user", "current_role", "user"})


def named_roles(blocks: Iterable[bytes], encoding: str, *, rights: bool = True) -> frozenset[str]:
    """Return the roles that a section of definitions needs; those of GRANTs only with *rights*."""
    wanted = (*_RIGHTS, *_OTHERS) if rights else _OTHERS
    found: set[str] = set()
    for text in _bodies(blocks, wanted):
        for tokens in statements(decode(text, encoding)):
            found.update(_roles(significant(tokens)))
    return frozenset(found - _NO_ROLES)


def _bodies(blocks: Iterable[bytes], types: tuple[bytes, ...]) -> Iterator[bytes]:
    """Yield the text of each entry of the *types*, including settings, which name grantors."""
    for entry, text in entries(blocks, settings=True):
        if entry.type in types:
            yield text


def _roles(tokens: list[Token]) -> Iterator[str]:
    """Yield the roles in a statement. The key words searched for are reserved: no name is one of
    them unless it is quoted."""
    words = [token.text.upper() if token.kind is Kind.WORD else "" for token in tokens]
    match words[:3]:
        case ["GRANT", *_]:
            yield from _list_after(tokens, words, "TO")
        case ["REVOKE", *_]:
            yield from _list_after(tokens, words, "FROM")
        case ["ALTER", "DEFAULT", "PRIVILEGES"]:
            if words[3:5] == ["FOR", "ROLE"]:
                yield from _list_at(tokens, 5)
            yield from _list_after(tokens, words, "TO" if "GRANT" in words else "FROM")
        case ["CREATE", "POLICY", *_]:
            end = next((words.index(word) for word in ("USING", "WITH") if word in words), None)
            yield from _list_after(tokens[:end], words[:end], "TO")
        case ["CREATE", "USER", "MAPPING"]:
            yield from _list_at(tokens, 4)
        case ["SET", "SESSION", "AUTHORIZATION"]:
            yield from _list_at(tokens, 3)


def _list_after(tokens: list[Token], words: list[str], word: str) -> Iterator[str]:
    if word in words:
        yield from _list_at(tokens, len(words) - words[::-1].index(word))


def _list_at(tokens: list[Token], position: int) -> Iterator[str]:
    if position < len(tokens) and tokens[position].text.upper() == "GROUP":
        position += 1
    for at in range(position, len(tokens), 2):
        kind, text = tokens[at]
        if kind is Kind.NAME:
            yield text[1:-1].replace('""', '"')
        elif kind is Kind.WORD:
            yield text.lower()
        if tokens[at + 1 : at + 2] != [(Kind.OTHER, ",")]:
            return
