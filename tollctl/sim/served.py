"""One call's way into the statistics and into the truth log."""

import asyncio
import secrets
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tollctl.sim.stats import Stats
from tollctl.sim.truthlog import Ending, TruthLog, TruthRecord

INPUT_NANO_USD = 1_000
OUTPUT_NANO_USD = 4_000
EMBED_NANO_USD = 100
"""Per token, as the built-in price book has them."""

_OK = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what: the body's user, the header x-request-id, the model's name; "" where not given."""

    user: str
    request_id: str
    model: str = ""
    stream: bool = False
    input_tokens: int = 0
    reports_usage: bool = True


@dataclass(slots=True)
class Books:
    """Where calls are counted; `log` is None without a truth log."""

    stats: Stats
    log: TruthLog | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    lingering: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def next_call(self) -> str:
        """An id that no other call has, of this process or another."""
        return f"{self.run}-{next(self._numbers)}"


class Served:
    """A call that is being answered: completed in the end, or aborted with the words written by then.

    `words` have been written.
    """

    def __init__(self, books: Books, caller: Caller, *, output_nano_usd: int = OUTPUT_NANO_USD) -> None:
        self._books = books
        self._caller = caller
        self._call = books.next_call()
        self._input_nano_usd = INPUT_NANO_USD if output_nano_usd else EMBED_NANO_USD
        self._output_nano_usd = output_nano_usd
        self._is_over = False
        self._lingering: asyncio.Task[None] | None = None
        self.words = 0

    async def announce(self, words: int) -> None:
        """Put down that `words` more are about to go out."""
        if self._books.log is not None:
            await self._books.log.write(self._record(self.words + words, Ending.RUNNING))

    async def announce_end(self) -> None:
        """Put down that the end is about to go out."""
        if self._books.log is not None:
            await self._books.log.write(self._record(self.words, Ending.COMPLETED))

    async def fail(self, status: int) -> None:
        """The answer is an error; it counts in requests only."""
        self._is_over = True
        if self._books.log is not None:
            await self._books.log.write(self._record(0, Ending.FAILED, status))

    def complete(self) -> None:
        self._is_over = True
        self._books.stats.count_completed(self._caller.user, self._caller.input_tokens, self.words)

    def linger(self, work: Coroutine[Any, Any, None]) -> None:
        """The client has left, and `work` goes on for it; it calls `close`."""
        self._lingering = asyncio.get_running_loop().create_task(work, name="linger")
        self._books.lingering.add(self._lingering)
        self._lingering.add_done_callback(self._books.lingering.discard)

    def close(self) -> None:
        """Aborted, unless it has come to its end or goes on without its client."""
        if self._is_over or self._lingering not in (None, asyncio.current_task()):
            return
        self._is_over = True
        self._books.stats.count_aborted(self._caller.user, self._caller.input_tokens, self.words)
        if self._books.log is not None:
            self._books.log.note(self._record(self.words, Ending.ABORTED))

    def _record(self, words: int, ending: Ending, status: int = _OK) -> TruthRecord:
        caller, is_failed = self._caller, ending is Ending.FAILED
        input_tokens = 0 if is_failed else caller.input_tokens
        return TruthRecord(
            call=self._call,
            user=caller.user,
            request_id=caller.request_id,
            model=caller.model,
            stream=caller.stream,
            input_tokens=input_tokens,
            output_tokens=words,
            cost_nano_usd=input_tokens * self._input_nano_usd + words * self._output_nano_usd,
            reports_usage=caller.reports_usage and not is_failed,
            status=status,
            ending=ending,
            time_ms=time.time_ns() // 1_000_000,
        )
