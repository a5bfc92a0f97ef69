"""What is stored of a secret."""

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """One sealed value of the resource `resource_name`, whose incarnation is `resource_uid`."""

    resource_name: str
    field: str
    resource_uid: uuid.UUID
    version: int
    sealed: bytes
