"""Virtual keys: `twk_` + 40 random base62 characters + 6 base62 characters of their CRC32.

The checksum refuses mistyped and foreign keys without a lookup; 40 base62 characters carry 238 bits, so that one
keyed hash is enough to store and find them by.
"""

import hmac
import re
import zlib
from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VIRTUAL_KEY_PREFIX = "twk_"
SHOWN_CHARACTERS = 8
_BODY_LENGTH = 40
_CHECKSUM_LENGTH = 6
_PATTERN = re.compile(rf"{VIRTUAL_KEY_PREFIX}[0-9A-Za-z]{{{_BODY_LENGTH + _CHECKSUM_LENGTH}}}")


def make_virtual_key(random_below: Callable[[int], int]) -> str:
    """A new key; `random_below(n)` must give unpredictable integers in [0, n), as `secrets.randbelow` does."""
    body = "".join(ALPHABET[random_below(len(ALPHABET))] for _ in range(_BODY_LENGTH))
    return f"{VIRTUAL_KEY_PREFIX}{body}{key_checksum(body)}"


def key_checksum(body: str) -> str:
    """Six base62 characters of the CRC32 of `body`, most significant first."""
    value = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        value, digit = divmod(value, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def is_virtual_key(text: str) -> bool:
    """Whether `text` has the form and the checksum of a virtual key; says nothing about whether it is known."""
    if _PATTERN.fullmatch(text) is None:
        return False
    body = text[len(VIRTUAL_KEY_PREFIX) : -_CHECKSUM_LENGTH]
    return key_checksum(body) == text[-_CHECKSUM_LENGTH:]


def key_digest(pepper: bytes, key: str) -> bytes:
    """HMAC-SHA256 of the whole key, 32 bytes: what is stored and looked up."""
    return hmac.digest(pepper, key.encode(), "sha256")


def shown_prefix(key: str) -> str:
    """The part of a key that may be shown to recognise it by: `twk_` and four characters."""
    return key[:SHOWN_CHARACTERS]
