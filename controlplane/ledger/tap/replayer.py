"""Books again what the tap holds: the consumer's work on replays that admins ask for."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.client import JetStreamContext as Context
from nats.js.errors import NotFoundError

from controlplane.errors import Unavailable
from controlplane.ledger.booking import Booked, Bookkeeper, read_parcels
from controlplane.ledger.connection import Connect, close
from controlplane.ledger.tap.copier import tapped_delivery
from controlplane.ledger.tap.repository import Replay, ReplayRepository, ReplayStart
from tollway.kernel.subjects import TAP_STREAM

BATCH_MESSAGES = 64
LOOK_INTERVAL_S = 1.0
FETCH_TIMEOUT_S = 2.0
CLOCK_MARGIN = timedelta(seconds=60)
"""How far the clocks of NATS and of the database may be apart."""
_IDLE_CONSUMER_S = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Messages of the tap in order, and the sequence number that the next ones begin at."""

    messages: list[Msg]
    next_sequence: int


class TapReplayer:
    """Works on one replay after the other. A replay that was cut short goes on where its last commit was."""

    def __init__(self, connect: Connect, replays: ReplayRepository, bookkeeper: Bookkeeper, worker: UUID) -> None:
        self._connect = connect
        self._replays = replays
        self._bookkeeper = bookkeeper
        self._worker = worker

    async def run(self) -> None:
        """Until cancelled. What NATS or the database does not give now is tried again."""
        while True:
            try:
                replay = await self._replays.claim(self._worker)
                if replay is not None:
                    await self._work(replay)
            except Unavailable as error:
                _log.debug("replays wait for the database reason=%s", error.message)
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _work(self, replay: Replay) -> None:
        """Raises Unavailable."""
        try:
            client = await self._connect()
        except (NatsError, OSError, TimeoutError) as error:
            await self._tell(replay, error)
            return
        try:
            await self._replay(replay, client.jetstream(timeout=FETCH_TIMEOUT_S))
        except (NatsError, OSError, TimeoutError) as error:
            await self._tell(replay, error)
        finally:
            await close(client)

    async def _replay(self, replay: Replay, jetstream: JetStreamContext) -> None:
        try:
            info = await jetstream.stream_info(TAP_STREAM)
        except NotFoundError:
            await self._end(replay, "there is no tap: see TOLLWAY_USAGE_TAP_DAYS of the consumer")
            return
        if replay.stream_created not in ("", str(info.created)):
            await self._end(replay, "the tap was made anew meanwhile: ask for another replay of what it holds now")
            return
        next_sequence, last_sequence = replay.next_sequence, replay.last_sequence
        if not next_sequence:
            start = await _find_start(jetstream, info, replay.since_time - CLOCK_MARGIN)
            next_sequence, last_sequence = start.first_sequence, start.last_sequence
            if not await self._replays.begin(replay.replay_id, self._worker, start):
                return
            _log.info("replay begins replay=%d messages=%d", replay.replay_id, last_sequence - next_sequence + 1)
        if next_sequence <= last_sequence:
            async with _reader(jetstream, next_sequence) as subscription:
                if not await self._book_all(replay, subscription, next_sequence, last_sequence):
                    return
        await self._end(replay)

    async def _book_all(
        self, replay: Replay, subscription: Context.PullSubscription, next_sequence: int, last_sequence: int
    ) -> bool:
        """True when everything up to `last_sequence` or the end of the time asked for is booked."""
        until = replay.until_time + CLOCK_MARGIN
        while next_sequence <= last_sequence:
            messages = await _fetch(subscription, min(BATCH_MESSAGES, last_sequence - next_sequence + 1))
            if not messages:
                break
            wanted = [message for message in messages if message.metadata.timestamp <= until]
            next_sequence = messages[-1].metadata.sequence.stream + 1
            if not await self._book(replay, _Piece(wanted, next_sequence)):
                return False
            if len(wanted) < len(messages):
                break
        return True

    async def _book(self, replay: Replay, piece: _Piece) -> bool:
        """False when the replay is not this worker's any more. Raises Unavailable; then nothing of it is noted."""
        booked = Booked()
        for parcels in read_parcels(map(tapped_delivery, piece.messages)):
            booked.add(await self._bookkeeper.book(parcels))
        return await self._replays.note(
            replay.replay_id, self._worker, piece.next_sequence, len(piece.messages), booked
        )

    async def _end(self, replay: Replay, problem: str = "") -> None:
        if await self._replays.end(replay.replay_id, self._worker, problem):
            _log.info("replay ended replay=%d problem=%r", replay.replay_id, problem)

    async def _tell(self, replay: Replay, error: Exception) -> None:
        problem = f"NATS does not serve the tap, it goes on when NATS does: {type(error).__name__} {error}".strip()
        await self._replays.tell(replay.replay_id, self._worker, problem)


async def _fetch(subscription: Context.PullSubscription, most: int) -> list[Msg]:
    """The next messages; none when the tap holds no more of them, because it has forgotten the rest."""
    try:
        return await subscription.fetch(most, timeout=FETCH_TIMEOUT_S)
    except TimeoutError:
        if (await subscription.consumer_info()).num_pending == 0:
            return []
        raise


async def _find_start(jetstream: JetStreamContext, info: StreamInfo, since: datetime) -> ReplayStart:
    """The first message that was copied at or after `since`."""
    state = info.state
    first = None if state.first_seq == 0 else state.first_seq
    low, high = first or 1, state.last_seq + 1
    while low < high:
        middle = (low + high) // 2
        time = await _time_of(jetstream, middle)
        if time is not None and time >= since:
            high = middle
        else:
            low = middle + 1
    tap_start_time = await _time_of(jetstream, first) if first and state.messages else None
    return ReplayStart(str(info.created), low, state.last_seq, tap_start_time)


async def _time_of(jetstream: JetStreamContext, sequence: int) -> datetime | None:
    """When the message was copied; None when the tap has it no more."""
    try:
        message = await jetstream.get_msg(TAP_STREAM, sequence)
    except NotFoundError:
        return None
    return None if message.time is None else message.time.astimezone(UTC)


@asynccontextmanager
async def _reader(jetstream: JetStreamContext, first_sequence: int) -> AsyncIterator[Context.PullSubscription]:
    """The tap's messages from `first_sequence` on."""
    config = ConsumerConfig(
        description="ledger replay",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first_sequence,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=_IDLE_CONSUMER_S,
        mem_storage=True,
        num_replicas=1,
    )
    info = await jetstream.add_consumer(TAP_STREAM, config)
    subscription = await jetstream.pull_subscribe_bind(info.name, TAP_STREAM)
    try:
        yield subscription
    finally:
        await subscription.unsubscribe()
