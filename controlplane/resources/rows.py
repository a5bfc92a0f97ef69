"""What is stored about resources and answered requests."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MAX_SHOWN_REFERRERS = 5
REFERRERS_READ = 10_000
LAST_NAME = "~"
"""Comes after every name."""


@dataclass(frozen=True, slots=True)
class Head:
    """Identity of the database, and the newest revision in it."""

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One revision of one resource.

    `refs` are the full names that it refers to, `claim` is what no other resource may have, e.g. a route's model.
    """

    name: str
    revision: int
    kind: str
    uid: uuid.UUID
    etag: str
    spec: Mapping[str, Any]
    labels: Mapping[str, str]
    refs: tuple[str, ...]
    claim: str | None
    create_time: datetime
    update_time: datetime
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """An answered request, kept so that its repetition gets the same answer."""

    principal: str
    method: str
    request_id: str
    fingerprint: bytes
    sealed_response: bytes
    create_time: datetime
