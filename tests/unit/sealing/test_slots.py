"""Slots: what opens them, what does not, and what a reader refuses to try."""

from __future__ import annotations

from dataclasses import replace

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap import limits
from pgsnap.errors import CorruptionError, FormatTooNew, SnapError, UsageError
from pgsnap.format.envelope import ObjectKind, wrap
from pgsnap.format.record import RecordWriter
from pgsnap.sealing import slots
from pgsnap.sealing.slots import Slot, SlotKind, decode_slot, encode_slot, new_slot, open_slot
from pgsnap.sealing.wrapping_keys import (
    Argon2,
    Identity,
    KeyFile,
    NewOpener,
    Opener,
    Passphrase,
    Recipient,
)
from support.documents import examples, spec, values
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND

IDENTITY = pyrage.x25519.Identity.generate()
OTHER_IDENTITY = pyrage.x25519.Identity.generate()
KEY_FILE = KeyFile(bytes(range(100, 132)))

OPENERS: list[tuple[NewOpener, Opener, Opener]] = [
    (Passphrase(b"correct horse"), Passphrase(b"correct horse"), Passphrase(b"Correct horse")),
    (KEY_FILE, KEY_FILE, KeyFile(bytes(32))),
    (
        Recipient(str(IDENTITY.to_public())),
        Identity(f"# made by age-keygen\n{IDENTITY}\n".encode()),
        Identity(str(OTHER_IDENTITY).encode()),
    ),
]
KINDS = ["passphrase", "key file", "recipient"]


@pytest.mark.parametrize(("new", "right", "wrong"), OPENERS, ids=KINDS)
def test_a_slot_opens_with_its_own_secret_only(
    new: NewOpener, right: Opener, wrong: Opener
) -> None:
    slot = decode_slot(encode_slot(new_slot([FIRST, SECOND], REPOSITORY_ID, new)), "a slot")
    assert open_slot(slot, REPOSITORY_ID, right) == [FIRST, SECOND]
    assert open_slot(slot, REPOSITORY_ID, wrong) is None


@pytest.mark.parametrize(("new", "right"), [row[:2] for row in OPENERS], ids=KINDS)
def test_a_slot_of_another_repository_does_not_open(new: NewOpener, right: Opener) -> None:
    slot = new_slot([FIRST], REPOSITORY_ID, new)
    assert open_slot(slot, "f" * 32, right) is None


def test_secrets_of_another_kind_are_not_tried() -> None:
    slot = new_slot([FIRST], REPOSITORY_ID, KEY_FILE)
    assert open_slot(slot, REPOSITORY_ID, Passphrase(KEY_FILE.data)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another"},
        {"epochs": 2},
        {"salt": bytes(32)},
        {"nonce": bytes(12)},
        {"work": Argon2(1, 32, 1)},
        {"created": values.TIME},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_slot_that_was_changed_does_not_open(change: dict[str, object]) -> None:
    """Somebody who weakens the parameters of a slot gains nothing from it."""
    passphrase = Passphrase(b"secret")
    slot = new_slot([FIRST], REPOSITORY_ID, passphrase)
    assert open_slot(slot, REPOSITORY_ID, passphrase) == [FIRST]
    changed: Slot = replace(slot, **change)  # type: ignore[arg-type]
    assert open_slot(changed, REPOSITORY_ID, passphrase) is None


def test_the_stored_slot_opens_with_its_passphrase() -> None:
    slot = decode_slot(examples.stored("key-slot"), "a slot")
    assert open_slot(slot, REPOSITORY_ID, examples.PASSPHRASE) == [FIRST, SECOND]


def test_an_accent_may_be_typed_either_way() -> None:
    slot = new_slot([FIRST], REPOSITORY_ID, Passphrase("gr\u00f6\u00dfe".encode()))
    assert open_slot(slot, REPOSITORY_ID, Passphrase("gro\u0308\u00dfe".encode())) == [FIRST]


def test_a_passphrase_may_be_any_bytes() -> None:
    slot = new_slot([FIRST], REPOSITORY_ID, Passphrase(b"\xff\xfe"))
    assert open_slot(slot, REPOSITORY_ID, Passphrase(b"\xff\xfe")) == [FIRST]


def test_no_two_slots_share_salt_or_nonce() -> None:
    made = [new_slot([FIRST], REPOSITORY_ID, KEY_FILE) for _ in range(200)]
    assert len({slot.salt for slot in made}) == len({slot.nonce for slot in made}) == 200
    assert len({slot.masters for slot in made}) == 200


def test_what_is_written_is_what_the_limits_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "Argon2", Argon2)
    slot = new_slot([FIRST], REPOSITORY_ID, Passphrase(b"secret"))
    assert slot.work == Argon2(3, 64 * 1024, 4)
    assert open_slot(slot, REPOSITORY_ID, Passphrase(b"secret")) == [FIRST]
    assert (limits.ARGON2_PASSES_MAX, limits.ARGON2_MEMORY_KIB_MAX) == (10, 256 * 1024)


@pytest.mark.parametrize(
    "work",
    [
        Argon2(11, 65_536, 4),
        Argon2(3, 262_145, 4),
        Argon2(3, 65_536, 17),
        Argon2(0, 65_536, 4),
        Argon2(3, 65_536, 0),
        Argon2(3, 31, 4),
        Argon2(-1, 65_536, 4),
    ],
    ids=str,
)
def test_parameters_beyond_the_bounds_are_refused_before_they_are_used(work: Argon2) -> None:
    slot = replace(new_slot([FIRST], REPOSITORY_ID, Passphrase(b"secret")), work=work)
    with pytest.raises(CorruptionError):
        decode_slot(encode_slot(slot), "a slot")


def test_a_kind_of_a_later_version_is_refused_as_such() -> None:
    record = RecordWriter()
    record.integer(slots.SLOT_KIND, 4)
    with pytest.raises(FormatTooNew):
        decode_slot(wrap(ObjectKind.KEY_SLOT, record.to_bytes()), "a slot")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_slot_or_refused_in_words(data: bytes) -> None:
    for found in (data, wrap(ObjectKind.KEY_SLOT, data)):
        with pytest.raises(SnapError):
            decode_slot(found, "a slot")


def test_nothing_secret_shows_in_a_repr() -> None:
    for shown in (Passphrase(b"hidden"), KeyFile(b"hidden" * 6), Identity(b"hidden")):
        assert "hidden" not in repr(shown)


def test_secrets_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match="the passphrase is empty"):
        Passphrase(b"")
    with pytest.raises(UsageError, match="the key file is too short"):
        KeyFile(bytes(31))


@pytest.mark.parametrize("text", ["age1", "nobody", "ssh-rsa nonsense", ""])
def test_a_recipient_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no recipient of age"):
        new_slot([FIRST], REPOSITORY_ID, Recipient(text))


@pytest.mark.parametrize("text", [b"", b"\xff", b"AGE-SECRET-KEY-1NONSENSE", b"-----BEGIN nothing"])
def test_an_identity_that_is_none_is_refused_and_not_shown(text: bytes) -> None:
    slot = new_slot([FIRST], REPOSITORY_ID, Recipient(str(IDENTITY.to_public())))
    with pytest.raises(UsageError, match="the identity file is not one of age or SSH") as caught:
        open_slot(slot, REPOSITORY_ID, Identity(text))
    assert "NONSENSE" not in str(caught.value) + caught.value.detail


def test_the_fields_are_those_of_the_specification() -> None:
    code = {
        name.removeprefix("SLOT_"): number
        for name, number in vars(slots).items()
        if name.startswith("SLOT_") and name != "SLOT_SALT_BYTES"
    }
    words = {"MASTERS": "MASTER KEYS", "WRAPPING_KEY": "WRAPPING KEY"}
    assert {words.get(name, name): number for name, number in code.items()} == {
        row.name.upper(): row.number for row in spec.fields("Key slots")
    }
    used: set[int] = set()
    for new, _, _ in OPENERS:
        data = encode_slot(new_slot([FIRST], REPOSITORY_ID, new, name="a name"))
        used |= {number for number, _, _ in examples.record_fields(data[8:-16])}
    assert used == set(code.values())


def test_kinds_are_those_of_the_specification() -> None:
    assert {int(kind): str(kind) for kind in SlotKind} == spec.codes("Key slots", "kind")
