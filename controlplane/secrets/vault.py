"""Envelope encryption: AES-256-GCM under a random key per value, itself wrapped under the key of this installation.

Sealed form 1: version (1 byte), id of the wrapping key (8), nonce (12) and wrapped key (48), nonce (12), ciphertext.
Both layers are bound to the place where the value belongs, so that one sealed value cannot be moved to another place.
"""

import hashlib
import hmac
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ID_BYTES = 8
_FINGERPRINT_CHARACTERS = 16
_HEADER_BYTES = 1 + _ID_BYTES + _NONCE_BYTES + _KEY_BYTES + _TAG_BYTES + _NONCE_BYTES


class SecretUnreadable(Exception):
    """A sealed value cannot be opened; the message says why and never holds a part of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value belongs: authenticated with it, but not stored in it."""

    table: str
    owner: str
    field: str
    version: int = 1

    def associated_data(self) -> bytes:
        parts = (self.table, self.owner, self.field, str(self.version))
        return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


class Vault:
    """Seals and opens values under one key; `random_bytes(n)` must be unpredictable."""

    def __init__(self, encryption_key: str, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._wrapping_key = _derive(encryption_key, b"tollway wrapping key v1")
        self._wrapping_id = _derive(encryption_key, b"tollway wrapping key id v1")[:_ID_BYTES]
        self._fingerprint_key = _derive(encryption_key, b"tollway fingerprint key v1")
        self._digest_key = _derive(encryption_key, b"tollway digest key v1")
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return "Vault(***)"

    def seal(self, value: bytes, place: Place) -> bytes:
        associated = place.associated_data()
        data_key = self._random_bytes(_KEY_BYTES)
        wrap_nonce = self._random_bytes(_NONCE_BYTES)
        nonce = self._random_bytes(_NONCE_BYTES)
        wrapped = AESGCM(self._wrapping_key).encrypt(wrap_nonce, data_key, associated)
        ciphertext = AESGCM(data_key).encrypt(nonce, value, associated)
        return bytes([VERSION]) + self._wrapping_id + wrap_nonce + wrapped + nonce + ciphertext

    def open(self, sealed: bytes, place: Place) -> bytes:
        """Raises SecretUnreadable for another key, another place, or damage."""
        if len(sealed) < _HEADER_BYTES + _TAG_BYTES or sealed[0] != VERSION:
            raise SecretUnreadable("it is not in a form that this release knows")
        wrapping_id, rest = sealed[1 : 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        if not hmac.compare_digest(wrapping_id, self._wrapping_id):
            raise SecretUnreadable("it was encrypted under another TOLLWAY_ENCRYPTION_KEY")
        wrapped_end = _NONCE_BYTES + _KEY_BYTES + _TAG_BYTES
        wrap_nonce, wrapped = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:wrapped_end]
        nonce, ciphertext = rest[wrapped_end : wrapped_end + _NONCE_BYTES], rest[wrapped_end + _NONCE_BYTES :]
        associated = place.associated_data()
        try:
            data_key = AESGCM(self._wrapping_key).decrypt(wrap_nonce, wrapped, associated)
            return AESGCM(data_key).decrypt(nonce, ciphertext, associated)
        except InvalidTag:
            raise SecretUnreadable("it is damaged or belongs to another place") from None

    def digest(self, content: bytes) -> bytes:
        """Keyed hash of what may hold a secret, 32 bytes: without the key nobody can try out what it was."""
        return hmac.digest(self._digest_key, content, hashlib.sha256)

    def fingerprint(self, value: str, owner: uuid.UUID) -> str:
        """Keyed hash to recognise a value of one owner by: equal values have equal fingerprints."""
        message = owner.bytes + value.encode()
        return hmac.new(self._fingerprint_key, message, hashlib.sha256).hexdigest()[:_FINGERPRINT_CHARACTERS]


def _derive(encryption_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(encryption_key.encode())
