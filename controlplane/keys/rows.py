"""What is stored about the secrets of virtual keys."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredDigest:
    """One digest of the key `key_name`, valid before `expire_time`, or for ever."""

    digest: bytes
    key_name: str
    create_time: datetime
    expire_time: datetime | None = None
