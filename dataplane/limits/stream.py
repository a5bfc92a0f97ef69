"""One stream of the lease service, from hello until it is lost."""

import asyncio
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from dataplane.limits.desk import LeaseDesk
from dataplane.snapshot import Secret
from tollway.quota.v1 import quota_pb2 as wire
from tollway.quota.v1.quota_pb2_grpc import QuotaServiceStub

ANSWER_TIMEOUT_S: Final = 3.0
"""After how long without an answer a stream counts as lost: a transaction of the control plane ends before that."""
TICK_S: Final = 0.1
COALESCE_S: Final = 0.005

LeaseCall: TypeAlias = "grpc.aio.StreamStreamCall[wire.LeaseRequest, wire.LeaseResponse]"


@dataclass(frozen=True, slots=True)
class QuotaClient:
    """Who asks for leases, and with which token."""

    plane_token: Secret
    node: str
    boot_id: int
    build: str


class LeaseLost(Exception):
    """The stream broke or never came about; the message is one line for the log, `code` gRPC's where it gave one."""

    def __init__(self, problem: str, code: grpc.StatusCode | None = None) -> None:
        super().__init__(problem)
        self.code = code


class LeaseStream:
    """Speaks for `desk` on one stream of its process, of which this is the `generation`-th."""

    def __init__(self, client: QuotaClient, desk: LeaseDesk, generation: int) -> None:
        self._client = client
        self._desk = desk
        self._generation = generation
        self._urged = asyncio.Event()
        self._said_s: float | None = None
        self.has_answered = False

    async def follow(self, channel: grpc.aio.Channel) -> None:
        """Asks and takes answers until the stream is lost. Raises LeaseLost."""
        token = self._client.plane_token.reveal()
        call: LeaseCall = QuotaServiceStub(channel).Lease(None, metadata=(("authorization", f"Bearer {token}"),))
        listening: asyncio.Task[None] | None = None
        try:
            await self._greet(call)
            listening = asyncio.create_task(self._listen(call), name="quota-grants")
            await self._speak(call, listening)
        except TimeoutError:
            raise LeaseLost(f"no stream came about within {ANSWER_TIMEOUT_S:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise LeaseLost(f"{error.code().name} {error.details() or ''}".strip(), error.code()) from None
        except asyncio.InvalidStateError:
            raise LeaseLost("the stream ended") from None
        except asyncio.CancelledError:
            # gRPC also cancels the writer when the server has cancelled the stream.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise LeaseLost("the control plane cancelled the stream") from None
        finally:
            self._desk.urge = _nobody
            self._desk.table.lost(self._desk.now_ms)
            call.cancel()
            if listening is not None:
                listening.cancel()
                await asyncio.wait((listening,))

    async def _greet(self, call: LeaseCall) -> None:
        """Hello tells what is held; a control plane that has taken it answers once with nothing."""
        client = self._client
        hello = wire.Hello(
            node=client.node,
            boot_id=client.boot_id,
            generation=self._generation,
            build=client.build,
            held=self._desk.table.greet(),
        )
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await call.write(wire.LeaseRequest(hello=hello))
            await self._read(call)
        self._desk.table.opened()
        self._desk.urge = self._urged.set

    async def _speak(self, call: LeaseCall, listening: "asyncio.Task[None]") -> None:
        """An Update at each tick that has something to say, and soon after something urgent came up."""
        table = self._desk.table
        while not listening.done():
            await self._wait_turn()
            table.tick(self._desk.now_ms)
            while (update := table.exchange.next_update(self._desk.now_ms)) is not None:
                await call.write(wire.LeaseRequest(update=update))
                if self._said_s is None:
                    self._said_s = asyncio.get_running_loop().time()
            self._check_answers()
        listening.result()

    async def _wait_turn(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._urged.wait()
        except TimeoutError:
            return
        await asyncio.sleep(COALESCE_S)
        self._urged.clear()

    async def _listen(self, call: LeaseCall) -> None:
        try:
            while True:
                response = await self._read(call)
                self._desk.table.take(response, self._desk.now_ms)
                is_quiet = self._desk.table.exchange.unanswered == 0
                self._said_s = None if is_quiet else asyncio.get_running_loop().time()
        except grpc.aio.AioRpcError as error:
            raise LeaseLost(f"{error.code().name} {error.details() or ''}".strip(), error.code()) from None
        except asyncio.InvalidStateError:
            raise LeaseLost("the stream ended") from None
        finally:
            self._urged.set()

    async def _read(self, call: LeaseCall) -> wire.LeaseResponse:
        response = await call.read()
        if not isinstance(response, wire.LeaseResponse):
            raise LeaseLost("the control plane ended the stream")
        self.has_answered = True
        return response

    def _check_answers(self) -> None:
        if self._said_s is not None and asyncio.get_running_loop().time() - self._said_s > ANSWER_TIMEOUT_S:
            raise LeaseLost(f"nothing came for {ANSWER_TIMEOUT_S:g} s")


def _nobody() -> None:
    """Nobody listens."""
