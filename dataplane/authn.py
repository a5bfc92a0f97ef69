"""Which key a call presents, and whose it is: one keyed hash and one lookup in the snapshot."""

from collections.abc import Mapping
from datetime import UTC, datetime

from dataplane.call import Principal
from dataplane.errors import InvalidApiKey
from dataplane.snapshot import KeyEntry, Snapshot
from tollway.kernel.keys import VIRTUAL_KEY_PREFIX, is_virtual_key, key_digest

_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_BEARER = "bearer "
_ADMIN_TOKEN_PREFIX = "twa_"  # noqa: S105
_PROVIDER_KEY_PREFIXES = ("sk-", "sk_", "gsk_", "AIza", "xai-", "pplx-", "hf_", "r8_", "AKIA", "ASIA")
_WANTED = "Tollway wants one of its virtual keys (twk_...), as 'Authorization: Bearer twk_...' or in x-api-key."
_ASK = "Ask the admin of your team for one, or make one with 'tollctl key create'."


def presented_key(headers: Mapping[str, str]) -> str:
    """The key that a call presents, "" for none; `headers` must look names up in any case.

    Of several, the first of Authorization: Bearer, x-api-key, api-key and x-goog-api-key that has a value.
    """
    authorization = headers.get("Authorization")
    if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
        key = authorization[len(_BEARER) :].strip()
        if key:
            return key
    for name in _KEY_HEADERS:
        key = headers.get(name, "").strip()
        if key:
            return key
    return ""


def authenticate(snapshot: Snapshot, presented: str, now_ms: int) -> Principal:
    """Whose key `presented` is at `now_ms`, in Unix milliseconds.

    Raises InvalidApiKey, whose message says what is wrong with the key but never repeats it.
    """
    # Header bytes that are not ASCII arrive as lone surrogates, which have no digest.
    entry = snapshot.keys.get(key_digest(snapshot.pepper, presented)) if presented.isascii() else None
    if entry is None:
        raise InvalidApiKey(_why_unknown(presented))
    key = entry.key
    if key.revoked or 0 < entry.expire_time_ms <= now_ms or 0 < key.expire_time_ms <= now_ms:
        raise InvalidApiKey(_why_refused(entry, now_ms))
    return Principal(key)


def _why_unknown(presented: str) -> str:
    if not presented:
        return f"No API key was given. {_WANTED} {_ASK}"
    if presented.startswith(_ADMIN_TOKEN_PREFIX):
        return f"This is an admin token, which the apps' API does not take. {_WANTED} {_ASK}"
    if presented.startswith(_PROVIDER_KEY_PREFIXES):
        return f"This looks like a provider's own API key, which stays with Tollway. {_WANTED} {_ASK}"
    if not presented.startswith(VIRTUAL_KEY_PREFIX):
        return f"This is not a Tollway key. {_WANTED} {_ASK}"
    if not is_virtual_key(presented):
        return "This API key is mistyped or cut short: its checksum is wrong. Copy the whole key again."
    return f"This API key is not known here: it was deleted, or it belongs to another Tollway. {_ASK}"


def _why_refused(entry: KeyEntry, now_ms: int) -> str:
    key = entry.key
    if key.revoked:
        return f"The key {key.name} was revoked. {_ASK}"
    if 0 < key.expire_time_ms <= now_ms:
        return f"The key {key.name} expired at {_shown_time(key.expire_time_ms)}. {_ASK}"
    return (
        f"This secret of the key {key.name} was replaced and ended at {_shown_time(entry.expire_time_ms)}. "
        "Use the secret that the rotation gave."
    )


def _shown_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
