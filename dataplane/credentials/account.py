"""What is known of one credential, and when it is looked after again."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from dataplane.credentials.base import Credential, CredentialError, CredentialSource, Identity
from dataplane.retries import doubling_delays

REFRESH_AHEAD_S: Final = 300.0
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 60.0
MOST_THREADS: Final = 3
"""Threads of one identity that hang before no more are begun: what hung once is tried again, but not for ever."""


def retry_delays() -> Iterator[float]:
    """Seconds before each further try: doubling, up to half of each by chance."""
    return doubling_delays(FIRST_RETRY_S, LONGEST_RETRY_S)


@dataclass(slots=True)
class Account:
    """One identity: what is known of its credential, and when it is looked after again (monotonic seconds)."""

    identity: Identity
    upstreams: tuple[str, ...] = ()
    source: CredentialSource | None = None
    credential: Credential | None = None
    problem: CredentialError | None = None
    is_out: bool = False
    delays: Iterator[float] = field(default_factory=retry_delays)
    not_before_s: float = -math.inf
    gone_s: float | None = None
    task: asyncio.Task[None] | None = None
    threads: set[object] = field(default_factory=set)
    """A token for each thread that has not come back, given up or not."""

    @property
    def is_busy(self) -> bool:
        """Whether it is being looked after, or too many threads that were given up have not come back yet."""
        return len(self.threads) >= MOST_THREADS or (self.task is not None and not self.task.done())

    @property
    def is_tried(self) -> bool:
        """Whether there was a credential or a reason for none, or nobody needs it any more."""
        return self.credential is not None or self.problem is not None or self.gone_s is not None

    def needs_refresh(self, now_s: float) -> bool:
        """Whether the credential is missing or, at `now_s` in Unix seconds, better replaced."""
        expire_time_s = None if self.credential is None else self.credential.expire_time_s
        return expire_time_s is None or now_s >= expire_time_s - REFRESH_AHEAD_S

    def is_good(self, now_s: float) -> bool:
        """Whether there is a credential that has not expired at `now_s` in Unix seconds."""
        if self.credential is None:
            return False
        return self.credential.expire_time_s is None or now_s < self.credential.expire_time_s
