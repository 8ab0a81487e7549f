"""The words of the benchmark's rows: names, cities, and a made-up language."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

VOCABULARY_WORDS = 4096


def _listed(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _listed(
    "Ada Ahmed Aiko Alma Amir Anna Anton Ben Bianca Carla Carlos Chen Chloé Clara Dana David Deniz "
    "Diego Elena Elias Emma Erik Eva Farid Fatima Felix Finn Greta Hana Hugo Ida Igor Ines Ivan "
    "Jana João Jonas Julia Karim Katya Lars Laura Lea Leo Lina Luca Maja Marco Maria Marta Max Mei "
    "Mia Milan Nadia Nina Noah Nora Olga Omar Paul Petra Rafael Rosa"
)
LAST_NAMES = _listed(
    "Abe Alves Andersen Bauer Becker Berg Bianchi Bose Brown Carvalho Castro Chen Clarke Costa "
    "Cruz Dahl Das Diaz Dubois Evans Farkas Ferrari Fischer Garcia Goméz Gupta Haas Hansen "
    "Hoffmann "
    "Ivanov Jansen Jensen Khan Kim Kovács Kowalski Kumar Larsen Lefèvre Lopez Martin Meyer Moreau "
    "Müller Nagy Nakamura Nguyen Novak O'Brien Olsen Park Pereira Petrov Rossi Sato Schmidt Silva "
    "Singh Smith Suzuki Tanaka Virtanen Weber Wong"
)
CITIES = _listed(
    "Aarhus Bergen Berlin Bologna Bordeaux Boston Brno Dublin Gdańsk Genova Ghent Graz Hamburg "
    "Helsinki Kraków Leeds Lisboa Lyon Madrid Malmö Milano München Nantes Oslo Osaka Porto Praha "
    "Riga Sevilla Toronto Utrecht Wien"
)


@cache
def vocabulary() -> tuple[list[str], NDArray[np.uint16]]:
    """Return the words, and a table that turns 16 random bits into a word's number.

    A word of rank r is drawn with a weight of 1 / (r + 3), which is about how often words occur in
    chat (Zipf's law).
    """
    heads = _listed("b br c ch d dr f g gr h j k l m n p pl qu r s sh sk st t th tr v w")
    vowels = _listed("a e i o u ai ea ee io ou")
    tails = ["", "", "", "l", "n", "ng", "r", "rd", "s", "ss", "st", "t", "th", "nt", "ck"]
    words: list[str] = []
    seen: set[str] = set()
    counter = 0
    while len(words) < VOCABULARY_WORDS:
        digest = hashlib.blake2b(counter.to_bytes(8, "little"), digest_size=12).digest()
        counter += 1
        syllables = 1 + (digest[0] + len(words)) % 3
        word = "".join(
            heads[digest[3 * s + 1] % len(heads)]
            + vowels[digest[3 * s + 2] % len(vowels)]
            + tails[digest[3 * s + 3] % len(tails)]
            for s in range(syllables)
        )
        if word not in seen:
            seen.add(word)
            words.append(word)
    words.sort(key=len)  # frequent words are short in every language
    weights = 1.0 / (np.arange(VOCABULARY_WORDS) + 3.0)
    bounds = np.cumsum(weights) / weights.sum() * 65_536.0
    table = np.searchsorted(bounds, np.arange(65_536), side="right")
    return words, np.minimum(table, VOCABULARY_WORDS - 1).astype(np.uint16)
