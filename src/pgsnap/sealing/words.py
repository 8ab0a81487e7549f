"""The words of labels and tags in the names of objects, encrypted (docs/format.md, "Names").

The same word in the same place always has the same name, so that its object is found; with the
names key it can be inverted, so that a listing shows the words.
"""

from __future__ import annotations

import base64

from pgsnap.errors import CorruptionError

_BLOCK_BYTES = 16
# A component of a path has at most 255 characters; a longer word goes on in the next component.
_PART_CHARS = 240
_GOES_ON = "-"


def seal_word(key: bytes, word: bytes, *place: bytes) -> str:
    """Return the components of a path that stand for *word*. *place* is bound to it: the same word
    in another place has another name."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    text = _text(AESSIV(key).encrypt(_padded(word), list(place)))
    parts = [text[start : start + _PART_CHARS] for start in range(0, len(text), _PART_CHARS)]
    return f"{_GOES_ON}/".join(parts)


def split_words(components: list[str]) -> list[str]:
    """Return the words of a path as `open_word` takes them, one after another."""
    words: list[str] = []
    goes_on = False
    for component in components:
        if goes_on:
            words[-1] += component.removesuffix(_GOES_ON)
        else:
            words.append(component.removesuffix(_GOES_ON))
        goes_on = component.endswith(_GOES_ON)
    return words


def open_word(key: bytes, sealed: str, *place: bytes) -> bytes:
    """Return the word that *sealed* stands for. Raises CorruptionError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

    try:
        data = base64.b32decode(sealed.upper() + "=" * (-len(sealed) % 8))
        if _text(data) != sealed:
            raise ValueError("a second spelling of the same bytes")
        padded = AESSIV(key).decrypt(data, list(place))
    except (ValueError, InvalidTag):
        raise CorruptionError(f'"{sealed}" is no name that the repository\'s key made') from None
    word = padded[: -padded[-1]]
    # Whoever has the key can seal anything, on a host that was broken into.
    if padded != _padded(word):
        raise CorruptionError(f'"{sealed}" is no name that snap made')
    return word


def _padded(word: bytes) -> bytes:
    padding = _BLOCK_BYTES - len(word) % _BLOCK_BYTES
    return word + bytes([padding]) * padding


def _text(data: bytes) -> str:
    # Lower case and no padding: file systems that fold case keep names apart.
    return base64.b32encode(data).decode().rstrip("=").lower()
