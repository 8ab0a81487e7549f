"""Made-up names, addresses and numbers, chosen by a digest. None of them reaches anybody: mail goes
to the domains that are reserved for examples, and no country has the code +999."""

from __future__ import annotations

from collections.abc import Callable

_FIRST_WORDS = (
    "Ada Adam Agnes Alan Alice Alma Amir Ana Andre Anna Anton Aria Arthur Astrid Ben Bella Boris"
    " Bruno Carl Carla Celia Chen Clara Daniel Daria David Diego Dora Edgar Elena Elias Elif Ella"
    " Emil Emma Erik Esra Eva Fabio Farah Felix Finn Flora Frida Gabriel Gina Greta Gustav Hana"
    " Hannah Hugo Ida Igor Ines Irene Isak Ivan Jakob Jana Jasper Joan Jonas Josef Judith Julia"
    " Kai Karim Karin Kira Klara Lara Laura Leah Lena Leo Lina Linus Lisa Louis Lucas Lucia Luna"
    " Maja Marco Maria Marta Mateo Max Maya Mila Milan Mina Mira Moritz Nadia Nils Nina Noah Nora"
    " Olga Oliver Omar Oscar Otto Pablo Paul Paula Petra Rafael Rania Rita Robin Rosa Ruben Ruth"
    " Sam Samir Sara Selma Simon Sofia Stella Sven Tara Theo Tilda Tim Tom Una Vera Victor Viola"
    " Wanda Yara Yusuf Zara Zoe"
)
_LAST_WORDS = (
    "Abbott Adler Ahmed Alvarez Andersen Arnold Bach Baker Barnes Bauer Becker Bell Berg Bishop"
    " Blake Bloom Brandt Brooks Brown Burke Carter Castro Chang Clarke Cohen Cole Costa Cruz Dahl"
    " Dalton Dean Diaz Dixon Drake Duarte Eklund Ellis Evans Farmer Fischer Fleming Flores Ford"
    " Foster Fox Frank Frost Garcia Gibson Goodwin Graf Grant Gray Green Hale Hansen Harper Hart"
    " Hayes Heller Hoffman Holm Hunt Ibarra Ivanov Jansen Jensen Johnson Jones Kaur Keller Kim King"
    " Klein Kovac Krause Lambert Lang Larsen Lee Lehmann Lind Lopez Lund Maier Marsh Martin Mason"
    " Meyer Miller Molina Moore Morris Moser Nash Navarro Nielsen Novak Olsen Ortega Owen Parker"
    " Patel Perez Peters Petrov Porter Quinn Ramos Reed Reyes Rivera Roberts Roth Russo Santos"
    " Sato Schmidt Schwarz Shaw Silva Singh Smith Stein Stone Suzuki Tanaka Taylor Torres Turner"
    " Vargas Vogel Wagner Walker Ward Weber West White Wolf Wong Wood Wright Young Zeller"
)
_STREETS_WORDS = (
    "Alder Ash Bay Beech Birch Bridge Brook Castle Cedar Chapel Cherry Church Elm Field Forest"
    " Garden Grove Harbour Hazel Hill Lake Laurel Lime Linden Maple Market Meadow Mill North Oak"
    " Orchard Park Pine Poplar River Rose School South Spring Station Stone Sunset Vine Walnut"
    " Water Willow Wood"
)
_WAYS = ("Street", "Road", "Lane", "Avenue", "Way", "Square", "Close", "Court")
_CITIES_WORDS = (
    "Ashford Brookfield Cedarville Clearwater Eastport Elmstead Fairview Glenwood Greendale"
    " Hillcrest Kingsbridge Lakeside Maplewood Marlow Milford Newhaven Northfield Oakdale Redhill"
    " Riverton Rockport Silverton Springfield Stonebridge Summerfield Westbrook Whitecliff"
    " Windmere Woodside"
)
_BRANCHES = ("Foods", "Labs", "Logistics", "Media", "Motors", "Partners", "Services", "Systems")
_FIRST = _FIRST_WORDS.split()
_LAST = _LAST_WORDS.split()
_STREETS = _STREETS_WORDS.split()
_CITIES = _CITIES_WORDS.split()
_DOMAINS = ("example.com", "example.net", "example.org")

DIGEST_BYTES = 16
UNIQUE = frozenset({"email", "username"})
"""Sorts that hold 48 bits of the digest, so that different values practically never meet."""


def _first(digest: bytes) -> str:
    return _FIRST[(digest[0] | digest[1] << 8) % len(_FIRST)]


def _last(digest: bytes) -> str:
    return _LAST[(digest[2] | digest[3] << 8) % len(_LAST)]


def _name(digest: bytes) -> str:
    return f"{_first(digest)} {_last(digest)}"


def _username(digest: bytes) -> str:
    return f"{_first(digest)}.{digest[4:10].hex()}".lower()


def _email(digest: bytes) -> str:
    domain = _DOMAINS[digest[10] % len(_DOMAINS)]
    return f"{_first(digest)}.{_last(digest)}.{digest[4:10].hex()}@{domain}".lower()


def _phone(digest: bytes) -> str:
    return f"+999{int.from_bytes(digest[4:10], 'little') % 10**9:09d}"


def _street(digest: bytes) -> str:
    street, way = _STREETS[digest[11] % len(_STREETS)], _WAYS[digest[12] % len(_WAYS)]
    return f"{1 + digest[13] % 199} {street} {way}"


def _city(digest: bytes) -> str:
    return _CITIES[digest[14] % len(_CITIES)]


def _postcode(digest: bytes) -> str:
    return f"{int.from_bytes(digest[4:8], 'little') % 100_000:05d}"


def _address(digest: bytes) -> str:
    return f"{_street(digest)}, {_postcode(digest)} {_city(digest)}"


def _company(digest: bytes) -> str:
    return f"{_last(digest)} {_BRANCHES[digest[15] % len(_BRANCHES)]}"


MAKERS: dict[str, Callable[[bytes], str]] = {
    "first name": _first,
    "last name": _last,
    "name": _name,
    "username": _username,
    "email": _email,
    "phone": _phone,
    "street": _street,
    "city": _city,
    "postcode": _postcode,
    "address": _address,
    "company": _company,
}
"""What each sort makes of a digest: ASCII, which every encoding of a database includes."""
