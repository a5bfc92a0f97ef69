"""Sealed values open only with their key, at their place, undamaged."""

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.secrets.vault import Place, SecretUnreadable, Vault

KEY = "k" * 32
PLACE = Place("secret", "upstreams/a@1", "credential", 1)
VAULT = Vault(KEY)


def test_digests_are_alike_under_one_key_only() -> None:
    assert VAULT.digest(b"sk-1") == Vault(KEY).digest(b"sk-1")
    assert VAULT.digest(b"sk-1") != VAULT.digest(b"sk-2")
    assert VAULT.digest(b"sk-1") != Vault("l" * 32).digest(b"sk-1")
    assert VAULT.digest(b"sk-1") != hashlib.sha256(b"sk-1").digest()


@given(st.binary(max_size=200))
def test_what_is_sealed_can_be_opened(value: bytes) -> None:
    sealed = VAULT.seal(value, PLACE)
    assert VAULT.open(sealed, PLACE) == value
    assert Vault(KEY).open(sealed, PLACE) == value


def test_a_value_is_never_sealed_alike_twice_and_does_not_show() -> None:
    one, two = VAULT.seal(b"sk-visible", PLACE), VAULT.seal(b"sk-visible", PLACE)
    assert one != two
    assert b"sk-visible" not in one
    assert "k" * 32 not in repr(VAULT)


@pytest.mark.parametrize(
    "place",
    [
        Place("other", "upstreams/a@1", "credential", 1),
        Place("secret", "upstreams/b@1", "credential", 1),
        Place("secret", "upstreams/a@1", "other", 1),
        Place("secret", "upstreams/a@1", "credential", 2),
        Place("secre", "tupstreams/a@1", "credential", 1),
    ],
)
def test_a_value_cannot_be_moved(place: Place) -> None:
    with pytest.raises(SecretUnreadable, match="belongs to another place"):
        VAULT.open(VAULT.seal(b"x", PLACE), place)


def test_another_key_is_told_from_damage() -> None:
    sealed = VAULT.seal(b"x", PLACE)
    with pytest.raises(SecretUnreadable, match="another TOLLWAY_ENCRYPTION_KEY"):
        Vault("other" * 8).open(sealed, PLACE)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(position: int, flip: int) -> None:
    sealed = bytearray(VAULT.seal(b"secret", PLACE))
    sealed[position % len(sealed)] ^= flip
    with pytest.raises(SecretUnreadable):
        VAULT.open(bytes(sealed), PLACE)


@given(st.binary(max_size=130))
def test_what_was_never_sealed_is_refused(junk: bytes) -> None:
    with pytest.raises(SecretUnreadable):
        VAULT.open(junk, PLACE)


def test_fingerprints_recognise_a_value_of_one_owner_only() -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    assert VAULT.fingerprint("sk-1", one) == VAULT.fingerprint("sk-1", one)
    assert VAULT.fingerprint("sk-1", one) != VAULT.fingerprint("sk-2", one)
    assert VAULT.fingerprint("sk-1", one) != VAULT.fingerprint("sk-1", two)
    assert VAULT.fingerprint("sk-1", one) != Vault("z" * 32).fingerprint("sk-1", one)
