"""One stream of the config feed, from hello until it is lost."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import grpc

from dataplane.config.applier import ConfigApplier
from dataplane.config.assembly import UpdateAssembly
from dataplane.config.holder import SnapshotHolder
from dataplane.config.state import Cursor
from dataplane.snapshot import Secret
from tollway.config.v1 import discovery_pb2 as wire
from tollway.config.v1.discovery_pb2_grpc import ConfigDiscoveryServiceStub

HEARTBEAT_TIMEOUT_S = 10.0
USAGE_INTERVAL_S = 0.5
_MOST_REJECTIONS = 500
_REASON_CHARACTERS = 500

FeedCall: TypeAlias = "grpc.aio.StreamStreamCall[wire.SubscribeRequest, wire.SubscribeResponse]"


class UsageProgress(Protocol):
    """How far one producer of usage events is."""

    @property
    def boot_id(self) -> int: ...
    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def published_through(self) -> int: ...
    @property
    def is_final(self) -> bool: ...


class UsageCustody(Protocol):
    """Who keeps usage events until the ledger acknowledges them."""

    def progress(self) -> Sequence[UsageProgress]: ...

    def acknowledge(self, boot_id: int, through: int, missing: Iterable[tuple[int, int]]) -> None: ...

    def complete(self, boot_id: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FeedClient:
    """Who subscribes, with which token, whose usage the ledger is to acknowledge on the way, and after how long without
    a word a stream counts as lost.
    """

    plane_token: Secret
    node: str
    boot_id: int
    build: str
    usage: UsageCustody
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S


class FeedLost(Exception):
    """The stream broke or never came about; the message is one line for the log, `code` gRPC's where it gave one."""

    def __init__(self, problem: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(problem)
        self.code = code


class FeedSession:
    """Follows one stream. `began_s` is the event loop's time of its first response, None before that.

    `note_in_force` is called whenever the stream stands by what is in force.
    """

    def __init__(
        self, client: FeedClient, applier: ConfigApplier, holder: SnapshotHolder, note_in_force: Callable[[], None]
    ) -> None:
        self._client = client
        self._applier = applier
        self._holder = holder
        self._note_in_force = note_in_force
        self._writing = asyncio.Lock()
        self.began_s: float | None = None

    async def follow(self, channel: grpc.aio.Channel, *, accepts_older: bool) -> None:
        """Applies what comes until the stream is lost. Raises FeedLost then, and FeedProtocolError."""
        token = self._client.plane_token.reveal()
        stub = ConfigDiscoveryServiceStub(channel)
        call = stub.Subscribe(None, metadata=(("authorization", f"Bearer {token}"),))
        telling: asyncio.Task[None] | None = None
        try:
            resume_from = self._holder.applied_cursor
            await call.write(wire.SubscribeRequest(hello=self._hello(resume_from)))
            telling = asyncio.create_task(self._tell_usage(call), name="feed-usage")
            await self._exchange(call, resume_from, accepts_older=accepts_older)
        except grpc.aio.AioRpcError as error:
            raise FeedLost(f"{error.code().name} {error.details() or ''}".strip(), error.code()) from None
        except asyncio.InvalidStateError:
            raise FeedLost("the stream ended") from None
        except asyncio.CancelledError:
            # gRPC also cancels the reader when the server has cancelled the stream.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise FeedLost("the control plane cancelled the stream") from None
        finally:
            if telling is not None:
                telling.cancel()
            call.cancel()

    async def _write(self, call: FeedCall, request: wire.SubscribeRequest) -> None:
        """gRPC takes one write at a time."""
        async with self._writing:
            await call.write(request)

    async def _tell_usage(self, call: FeedCall) -> None:
        """Says how far this process's producers are, when there is news or something to acknowledge."""
        told: wire.UsagePosition | None = None
        # What ends the stream is told by its reader.
        with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                position = _usage_position(self._client.usage)
                if position != told:
                    await self._write(call, wire.SubscribeRequest(usage_position=position))
                    told = position
                await asyncio.sleep(USAGE_INTERVAL_S)

    async def _exchange(self, call: FeedCall, resume_from: Cursor | None, *, accepts_older: bool) -> None:
        updates = UpdateAssembly(resume_from, accepts_older=accepts_older)
        while True:
            response = await _read(call, self._client.heartbeat_timeout_s)
            if self.began_s is None:
                self.began_s = asyncio.get_running_loop().time()
            for ack in response.ledger_acks:
                missing = [(range_.first, range_.last) for range_ in ack.missing]
                self._client.usage.acknowledge(ack.boot_id, ack.booked_through, missing)
                if ack.complete:
                    self._client.usage.complete(ack.boot_id)
            delta = updates.add(response) if response.nonce else None
            if delta is not None:
                await self._applier.apply(delta)
            if response.nonce:
                await self._write(call, wire.SubscribeRequest(ack=self._ack(response.nonce)))
            if updates.is_idle and self._holder.current is not None:
                self._holder.confirm()
                self._note_in_force()

    def _hello(self, resume_from: Cursor | None) -> wire.Hello:
        client = self._client
        position = None if resume_from is None else _wire_cursor(resume_from)
        return wire.Hello(node=client.node, boot_id=client.boot_id, build=client.build, resume_from=position)

    def _ack(self, nonce: str) -> wire.Ack:
        applied = self._holder.applied_cursor
        return wire.Ack(
            nonce=nonce,
            applied=None if applied is None else _wire_cursor(applied),
            rejections=[
                wire.Rejection(name=r.name, revision=r.revision, reason=r.reason[:_REASON_CHARACTERS])
                for r in self._holder.state.rejections[:_MOST_REJECTIONS]
            ],
        )


def _usage_position(usage: UsageCustody) -> wire.UsagePosition:
    return wire.UsagePosition(
        producers=[
            wire.ProducerPosition(
                boot_id=p.boot_id,
                last_sequence=p.last_sequence,
                published_through=p.published_through,
                first_sequence=p.first_sequence,
                final=p.is_final,
            )
            for p in usage.progress()
        ]
    )


async def _read(call: FeedCall, timeout_s: float) -> wire.SubscribeResponse:
    """The next response. Raises FeedLost when none comes in time, or the server has ended the stream."""
    try:
        async with asyncio.timeout(timeout_s):
            response = await call.read()
    except TimeoutError:
        raise FeedLost(f"nothing came for {timeout_s:g} s, not even a heartbeat") from None
    if not isinstance(response, wire.SubscribeResponse):
        raise FeedLost("the control plane ended the stream")
    return response


def _wire_cursor(cursor: Cursor) -> wire.Cursor:
    return wire.Cursor(epoch=cursor.epoch, revision=cursor.revision)
