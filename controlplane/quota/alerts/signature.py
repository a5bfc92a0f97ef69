"""Signatures of webhooks by the Standard Webhooks specification 1.0.0 (standardwebhooks.com). Pure."""

import base64
import binascii
import hashlib
import hmac

_PREFIX = "whsec_"


class UnusableSecret(ValueError):
    """The secret has the form of an encoded one and cannot be decoded; the message does not show it."""


def signing_key(secret: str) -> bytes:
    """The key that `secret` stands for: base64 behind "whsec_", its own UTF-8 bytes otherwise.

    Raises UnusableSecret.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise UnusableSecret(f'the secret begins with "{_PREFIX}", and what follows is not base64')
    return key


def sign(key: bytes, message_id: str, unix_time_s: int, body: bytes) -> str:
    """The value of webhook-signature: "v1," and the base64 of HMAC-SHA256 over `id.time.body`."""
    signed = b".".join((message_id.encode(), str(unix_time_s).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def webhook_headers(message_id: str, unix_time_s: int, body: bytes, key: bytes | None) -> dict[str, str]:
    """The headers of one try; without a key it is not signed."""
    headers = {"webhook-id": message_id, "webhook-timestamp": str(unix_time_s)}
    return headers if key is None else {**headers, "webhook-signature": sign(key, message_id, unix_time_s, body)}
