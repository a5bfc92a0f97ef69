"""Refuses to work with other keys than those that the database was written with, before anything is damaged."""

import hashlib
import hmac

from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.secrets.vault import Place, SecretUnreadable, Vault

_ENCRYPTION, _PEPPER = "encryption_key", "key_pepper"
_CANARY = b"tollway"
_PLACE = Place("key_check", _ENCRYPTION, "value")


class KeyMismatch(Exception):
    """A configured key is not the one that the database was written with; the message says which and what to do."""


async def check_keys(config: ConfigStore, vault: Vault, pepper: bytes) -> None:
    """Remembers both keys, by what only they can make; as long as nothing was stored under them they may change.

    Raises KeyMismatch, and Unavailable when the database is away.
    """
    async with config.write() as unit:
        if await unit.secrets.is_empty() or await unit.secrets.key_check(_ENCRYPTION) is None:
            await unit.secrets.put_key_check(_ENCRYPTION, vault.seal(_CANARY, _PLACE))
        await _check_encryption(unit, vault)
        mark = hmac.digest(pepper, b"tollway key pepper check", hashlib.sha256)
        known = await unit.secrets.key_check(_PEPPER)
        if known is None or await unit.digests.is_empty():
            await unit.secrets.put_key_check(_PEPPER, mark)
        elif not hmac.compare_digest(known, mark):
            raise KeyMismatch(
                "TOLLWAY_KEY_PEPPER: is not the one that this database's virtual keys are hashed under; "
                "set the former one"
            )


async def _check_encryption(unit: UnitOfWork, vault: Vault) -> None:
    try:
        vault.open(await unit.secrets.key_check(_ENCRYPTION) or b"", _PLACE)
    except SecretUnreadable as error:
        raise KeyMismatch(
            "TOLLWAY_ENCRYPTION_KEY: is not the one that this database's secrets are encrypted under; "
            f"set the former one ({error})"
        ) from None
