"""What is stored about data planes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One data plane process at `last_seen_time`; each rejection has name, revision and reason."""

    node: str
    boot_id: str
    build: str
    connected: bool
    epoch: str
    revision: int
    rejections: Sequence[Mapping[str, Any]]
    connect_time: datetime
    last_seen_time: datetime
