"""The text of the benchmark's rows: COPY lines made of seed, table and row number alone.

Every value is drawn by counter: splitmix64's finaliser (Steele, Lea and Flood, 2014) over
`key(seed, table, column) + row * GOLDEN`. So a table is the same however it is cut into batches, on
every platform and with every version of NumPy, and any batch can be made without the ones before.
The lines are written as PostgreSQL itself writes them (jsonb keys in its order, microseconds that
end in a digit other than 0), so the bytes of these lines are the bytes of the dump's data.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from words import CITIES, FIRST_NAMES, LAST_NAMES, vocabulary

U64 = np.uint64
Numbers = NDArray[np.uint64]
Integers = NDArray[np.int64]

GOLDEN = U64(0x9E3779B97F4A7C15)
BATCH_ROWS = 20_000
PRODUCTS = 50_000
WORDS_PER_ROW_MAX = 64
FIRST_DAY = datetime.date(2023, 1, 1)
DAYS = 1000
SECONDS_PER_DAY = 86_400

AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "shop-app/4.12.1 (Android 14; Pixel 8)",
    "shop-app/4.11.0 (iOS 17.5; iPhone15,3)",
)
CURRENCIES = ("EUR", "EUR", "EUR", "USD", "USD", "GBP", "PLN", "JPY")
ORDER_STATES = ("paid", "shipped", "shipped", "delivered", "delivered", "delivered", "returned")
TIME_ZONES = ("Europe/Berlin", "Europe/Lisbon", "America/Toronto", "Asia/Tokyo", "UTC")
LANGUAGES = ("de", "en", "en", "es", "fr", "it", "ja", "pl")
MAIL_HOSTS = ("example.com", "example.com", "example.org", "mail.example.net")


def mixed(values: Numbers) -> Numbers:
    """Return *values* scattered over all 64 bits, one to one."""
    values = (values ^ (values >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> U64(27))) * U64(0x94D049BB133111EB)
    return values ^ (values >> U64(31))


@cache
def days() -> list[str]:
    """Return the dates that timestamps are made of; rows that are added later reach beyond DAYS."""
    return [(FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in range(4 * DAYS)]


@cache
def clock() -> list[str]:
    """Return every second of a day as hh:mm:ss."""
    return [
        f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        for second in range(SECONDS_PER_DAY)
    ]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rows each table has."""

    users: int
    orders: int
    order_items: int
    events: int
    chat: int

    @classmethod
    def of_megabytes(cls, megabytes: float) -> Sizes:
        """Return the sizes whose dump is about *megabytes* MB (10^6 bytes) of text.

        The shares are 10, 15, 20, 35 and 20 %, by the average row of each table.
        """
        bytes_ = megabytes * 1e6
        return cls(
            users=max(2, round(bytes_ * 0.10 / 284)),
            orders=max(2, round(bytes_ * 0.15 / 157)),
            order_items=max(2, round(bytes_ * 0.20 / 67)),
            events=max(2, round(bytes_ * 0.35 / 224)),
            chat=max(2, round(bytes_ * 0.20 / 116)),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows *first* to *first* + *rows* of one table, and the random numbers behind them."""

    seed: int
    table: str
    first: int
    rows: int
    table_rows: int
    sizes: Sizes

    def ids(self) -> list[int]:
        return list(range(self.first + 1, self.first + self.rows + 1))

    def numbers(self, column: str, rows: Numbers | None = None) -> Numbers:
        """Return 64 random bits for each row of the batch, or for each number in *rows*."""
        name = f"{self.seed}/{self.table}/{column}".encode()
        key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
        if rows is None:
            rows = np.arange(self.first, self.first + self.rows, dtype=U64)
        return mixed(rows * GOLDEN + U64(key))

    def below(self, column: str, bound: int) -> list[int]:
        """Return a number from 0 to *bound* - 1 for each row."""
        numbers: list[int] = self._below(column, bound).tolist()
        return numbers

    def skewed(self, column: str, bound: int) -> list[int]:
        """Return numbers from 0 to *bound* - 1 of which small ones are much more frequent."""
        unit = (self.numbers(column) >> U64(11)).astype(np.float64) / 2.0**53
        numbers: list[int] = np.minimum(unit**2.5 * bound, bound - 1).astype(np.int64).tolist()
        return numbers

    def choice(self, column: str, values: tuple[str, ...] | list[str]) -> list[str]:
        return [values[number] for number in self.below(column, len(values))]

    def uuids(self, column: str) -> list[str]:
        """Return random (version 4) UUIDs."""
        high = self.numbers(column + "/high")
        low = self.numbers(column + "/low")
        high = (high & U64(0xFFFFFFFFFFFF0FFF)) | U64(0x4000)
        low = (low & U64(0x3FFFFFFFFFFFFFFF)) | U64(0x8000000000000000)
        text = np.column_stack((high, low)).astype(">u8").tobytes().hex()
        return [
            f"{text[i : i + 8]}-{text[i + 8 : i + 12]}-{text[i + 12 : i + 16]}"
            f"-{text[i + 16 : i + 20]}-{text[i + 20 : i + 32]}"
            for i in range(0, 32 * self.rows, 32)
        ]

    def times(self, column: str, later_seconds: int = 0) -> list[str]:
        """Return times that grow with the row number, a little out of order, in UTC.

        With *later_seconds*, each is up to that much after the time of the same row without.
        """
        rows = np.arange(self.first, self.first + self.rows, dtype=np.float64)
        seconds = (rows * (DAYS * SECONDS_PER_DAY / self.table_rows)).astype(np.int64)
        seconds += self._below("time/jitter", 900)
        if later_seconds:
            seconds += self._below(column + "/later", later_seconds)
        micros = self._below(column + "/micros", 100_000) * 10 + 1
        micros += self._below(column + "/last digit", 9)
        day, second = np.divmod(seconds, SECONDS_PER_DAY)
        date, hour = days(), clock()
        return [
            f"{date[d]} {hour[s]}.{m:06d}+00"
            for d, s, m in zip(day.tolist(), second.tolist(), micros.tolist(), strict=True)
        ]

    def texts(self, column: str, least: int, most: int) -> list[str]:
        """Return *least* to *most* - 1 words for each row, by how often words occur."""
        assert most <= WORDS_PER_ROW_MAX
        counts = self._below(column + "/count", most - least) + least
        ends = np.cumsum(counts)
        starts = ends - counts
        within = np.arange(int(ends[-1])) - np.repeat(starts, counts)
        rows = np.repeat(np.arange(self.first, self.first + self.rows), counts)
        draws = self.numbers(column, (rows * WORDS_PER_ROW_MAX + within).astype(U64))
        words, table = vocabulary()
        numbers = table[draws >> U64(48)].tolist()
        drawn = [words[number] for number in numbers]
        return [
            " ".join(drawn[start:end])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def _below(self, column: str, bound: int) -> Integers:
        return (self.numbers(column) % U64(bound)).astype(np.int64)


@cache
def product_titles(seed: int, sizes: Sizes) -> list[str]:
    """Return the name of each product: an order item repeats its product's, as in a real shop."""
    return Batch(seed, "products", 0, PRODUCTS, PRODUCTS, sizes).texts("title", 4, 9)


def money(cents: int) -> str:
    """Return *cents* as PostgreSQL writes a numeric(12,2)."""
    return f"{cents // 100}.{cents % 100:02d}"


def users(batch: Batch) -> list[str]:
    secrets = batch.numbers("secret/1"), batch.numbers("secret/2"), batch.numbers("secret/3")
    secret = np.column_stack(secrets).astype(">u8").tobytes().hex()
    names = zip(batch.choice("first", FIRST_NAMES), batch.choice("last", LAST_NAMES), strict=True)
    return [
        f"{id_}\t{uuid}\t{first.lower()}.{last.lower().replace(chr(39), '')}{id_}@{host}"
        f"\t{first} {last}\t$scram${secret[48 * i : 48 * i + 48]}\t{city}\t{'ft'[active > 0]}"
        f"\t{created}\t{seen}"
        f'\t{{"tz": "{zone}", "lang": "{language}", "theme": "{theme}", "newsletter": {news}}}\n'
        for i, (
            id_,
            uuid,
            (first, last),
            host,
            city,
            active,
            created,
            seen,
            zone,
            language,
            theme,
            news,
        ) in enumerate(
            zip(
                batch.ids(),
                batch.uuids("public_id"),
                names,
                batch.choice("host", MAIL_HOSTS),
                batch.choice("city", CITIES),
                batch.below("active", 12),
                batch.times("created"),
                batch.times("seen", later_seconds=40 * SECONDS_PER_DAY),
                batch.choice("zone", TIME_ZONES),
                batch.choice("language", LANGUAGES),
                batch.choice("theme", ("dark", "light", "system")),
                batch.choice("newsletter", ("true", "false")),
                strict=True,
            )
        )
    ]


def _addresses(batch: Batch) -> list[str]:
    return [
        f"{number + 1} {street} St, {city}"
        for number, street, city in zip(
            batch.below("number", 180),
            batch.texts("street", 1, 3),
            batch.choice("city", CITIES),
            strict=True,
        )
    ]


def orders(batch: Batch) -> list[str]:
    return [
        f"{id_}\t{uuid}\t{user + 1}\t{state}\t{currency}\t{money(cents)}\t{placed}"
        f"\t{shipped if state != 'paid' else chr(92) + 'N'}\t{place}"
        f"\t{note if has_note == 0 else chr(92) + 'N'}\n"
        for id_, uuid, user, state, currency, cents, placed, shipped, place, note, has_note in zip(
            batch.ids(),
            batch.uuids("public_id"),
            batch.skewed("user", batch.sizes.users),
            batch.choice("state", ORDER_STATES),
            batch.choice("currency", CURRENCIES),
            batch.skewed("total", 90_000),
            batch.times("placed"),
            batch.times("shipped", later_seconds=5 * SECONDS_PER_DAY),
            _addresses(batch),
            batch.texts("note", 3, 16),
            batch.below("has note", 5),
            strict=True,
        )
    ]


def order_items(batch: Batch) -> list[str]:
    per_order = max(1, batch.table_rows // batch.sizes.orders)
    order_ids = [
        min((id_ + shift) // per_order, batch.sizes.orders - 1) + 1
        for id_, shift in zip(batch.ids(), batch.below("shift", 2 * per_order), strict=True)
    ]
    titles = product_titles(batch.seed, batch.sizes)
    return [
        f"{id_}\t{order}\tSKU-{product:06d}\t{titles[product]}\t{quantity + 1}\t{money(cents)}"
        f"\t{money(discount) if discount < 3000 else '0.00'}\n"
        for id_, order, product, quantity, cents, discount in zip(
            batch.ids(),
            order_ids,
            batch.skewed("product", PRODUCTS),
            batch.skewed("quantity", 6),
            batch.skewed("price", 40_000),
            batch.below("discount", 20_000),
            strict=True,
        )
    ]


def events(batch: Batch) -> list[str]:
    lines = []
    for id_, user, session, at, kind, address, product, agent, words, took in zip(
        batch.ids(),
        batch.skewed("user", batch.sizes.users),
        batch.uuids("session"),
        batch.times("at"),
        batch.below("kind", 10),
        batch.below("address", 2**24),
        batch.skewed("product", PRODUCTS),
        batch.choice("agent", AGENTS),
        batch.texts("words", 1, 5),
        batch.skewed("took", 9_000),
        strict=True,
    ):
        ip = f"10.{address >> 16}.{address >> 8 & 255}.{address & 255}"
        if kind < 6:
            name = "page_view"
            payload = (
                f'{{"ip": "{ip}", "url": "/products/{product}?ref={words.replace(" ", "-")}", '
                f'"agent": "{agent}", "duration_ms": {took}}}'
            )
        elif kind < 8:
            name = "search"
            payload = (
                f'{{"hits": {product % 97}, "query": "{words}", '
                f'"filters": {{"max": {took}, "brand": "{words.split(" ", 1)[0]}"}}}}'
            )
        else:
            name = "purchase"
            payload = (
                f'{{"ip": "{ip}", "sku": "SKU-{product:06d}", '
                f'"cart": [{product % 777}, {address % 9973}, {took}], '
                f'"amount": {money(took + 99)}, "currency": "EUR"}}'
            )
        lines.append(f"{id_}\t{user + 1}\t{session}\t{name}\t{at}\t{payload}\n")
    return lines


def chat(batch: Batch) -> list[str]:
    return [
        f"{id_}\t{room + 1}\t{user + 1}"
        f"\t{max(1, id_ - back) if back < 12 and id_ > 1 else chr(92) + 'N'}"
        f"\t{at}\t{body}{chr(92) + 'n— ' + more if lines == 0 else ''}\n"
        for id_, room, user, back, at, body, more, lines in zip(
            batch.ids(),
            batch.skewed("room", 5_000),
            batch.skewed("user", batch.sizes.users),
            batch.below("back", 40),
            batch.times("at"),
            batch.texts("body", 2, 25),
            batch.texts("more", 1, 9),
            batch.below("lines", 16),
            strict=True,
        )
    ]


TABLES: dict[str, Callable[[Batch], list[str]]] = {
    "users": users,
    "orders": orders,
    "order_items": order_items,
    "events": events,
    "chat": chat,
}


def copy_blocks(table: str, sizes: Sizes, seed: int) -> Iterator[bytes]:
    """Yield the COPY text of *table* in blocks of a few MB that end at row ends."""
    table_rows: int = getattr(sizes, table)
    for first in range(0, table_rows, BATCH_ROWS):
        rows = min(BATCH_ROWS, table_rows - first)
        batch = Batch(seed, table, first, rows, table_rows, sizes)
        yield "".join(TABLES[table](batch)).encode()
