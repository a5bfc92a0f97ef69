"""QuotaService: one stream per data plane process."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import grpc

from controlplane.errors import Unavailable
from controlplane.quota.holdings.repository import HoldingRepository
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.recalls import recalls_of
from controlplane.quota.rows import BucketSpec, LeaseRow
from controlplane.quota.service import QuotaService, QuotaSession
from controlplane.quota.session import InvalidMessage
from controlplane.quota.sessions.repository import Fenced
from tollway.quota.v1.quota_pb2 import Hello, LeaseRequest, LeaseResponse
from tollway.quota.v1.quota_pb2_grpc import QuotaServiceServicer, add_QuotaServiceServicer_to_server

SERVICE_NAME = "tollway.quota.v1.QuotaService"
HELLO_TIMEOUT_S = 10.0
TOUCH_INTERVAL_S = 5.0
RECALL_INTERVAL_S = 0.2
SWEEP_EVERY = 5

logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[LeaseRequest, LeaseResponse]


class QuotaServer(QuotaServiceServicer):
    """`plane_token` is what callers must bear; `is_loaded` whether the configuration is at hand."""

    def __init__(
        self,
        service: QuotaService,
        holdings: HoldingRepository,
        metrics: QuotaMetrics,
        *,
        plane_token: str,
        is_loaded: Callable[[], bool],
    ) -> None:
        self._service = service
        self._holdings = holdings
        self._metrics = metrics
        self._authorization = f"Bearer {plane_token}".encode()
        self._is_loaded = is_loaded
        self._streams: dict[QuotaSession, Context] = {}
        self._sending: dict[QuotaSession, asyncio.Task[None]] = {}
        self._closing = asyncio.Event()
        self._all_ended = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        add_QuotaServiceServicer_to_server(self, server)

    def close(self) -> None:
        """Ends all streams, so that data planes go to another control plane."""
        self._closing.set()

    async def wait_ended(self, timeout_s: float) -> None:
        """After `close`: until every stream has ended, at most `timeout_s`."""
        if self._streams:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._all_ended.wait()
            except TimeoutError:
                logger.debug("quota streams did not end in time streams=%d", len(self._streams))

    async def run(self) -> None:
        """Tells the database of the streams, and asks back what others need, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_touching(), name="quota sessions")
                tasks.create_task(self._keep_recalling(), name="quota recalls")
        finally:
            await self._service.close()

    async def Lease(  # type: ignore[override]  # noqa: N802
        self, request_iterator: AsyncIterator[LeaseRequest], context: Context
    ) -> None:
        await self._authenticate(context)
        session = await self._introduce(await self._read_hello(request_iterator, context), context)
        self._streams[session] = context
        self._metrics.set_streams(len(self._streams))
        node, boot_id = session.holder.node, session.holder.boot_id
        logger.info("data plane leases node=%s boot_id=%d generation=%d", node, boot_id, session.holder.generation)
        try:
            await self._serve(session, request_iterator, context)
        finally:
            self._streams.pop(session, None)
            self._metrics.set_streams(len(self._streams))
            if self._closing.is_set() and not self._streams:
                self._all_ended.set()
            await self._leave(session)
            logger.info("data plane leases no more node=%s boot_id=%d", node, boot_id)

    async def _authenticate(self, context: Context) -> None:
        metadata = context.invocation_metadata() or ()
        given = [
            value.encode() if isinstance(value, str) else value for key, value in metadata if key == "authorization"
        ]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._authorization):
            logger.warning("data plane refused: wrong plane token peer=%s", context.peer())
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "the plane token is missing or wrong; set TOLLWAY_PLANE_TOKEN"
            )

    async def _read_hello(self, requests: AsyncIterator[LeaseRequest], context: Context) -> Hello:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                first = await anext(requests, None)
        except TimeoutError:
            first = None
        if first is None or not first.HasField("hello"):
            await self._abort(context, grpc.StatusCode.INVALID_ARGUMENT, "the first message must be a Hello")
        return first.hello

    async def _introduce(self, hello: Hello, context: Context) -> QuotaSession:
        if self._closing.is_set() or not self._is_loaded():
            text = "the configuration is not at hand; try another control plane"
            await self._abort(context, grpc.StatusCode.UNAVAILABLE, text)
        try:
            return await self._service.introduce(hello)
        except InvalidMessage as error:
            await self._abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Fenced:
            text = "a later stream of this process is open; raise Hello.generation"
            await self._abort(context, grpc.StatusCode.ABORTED, text)
        except Unavailable as error:
            await self._abort(context, grpc.StatusCode.UNAVAILABLE, error.message)

    async def _serve(self, session: QuotaSession, requests: AsyncIterator[LeaseRequest], context: Context) -> None:
        """Answers until the data plane leaves, is fenced, or this server closes."""
        reader = asyncio.create_task(self._answer_all(session, requests, context), name="quota-answer")
        closing = asyncio.create_task(self._closing.wait(), name="quota-closing")
        try:
            await asyncio.wait((reader, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, closing):
                task.cancel()
            await asyncio.gather(reader, closing, return_exceptions=True)
        if self._closing.is_set():
            await self._abort(context, grpc.StatusCode.UNAVAILABLE, "this control plane stops; go to another one")
        if not reader.cancelled() and (error := reader.exception()) is not None:
            await self._end_with(error, context)

    async def _answer_all(self, session: QuotaSession, requests: AsyncIterator[LeaseRequest], context: Context) -> None:
        """The first answer is that to Hello."""
        await self._write(LeaseResponse(fleet=self._service.fleet), session, context)
        async for request in requests:
            if not request.HasField("update"):
                raise InvalidMessage("after Hello only Updates are sent")
            await self._write(await self._service.answer(session, request.update), session, context)

    async def _write(self, response: LeaseResponse, session: QuotaSession, context: Context) -> None:
        async with session.writing:
            await context.write(response)

    async def _end_with(self, error: BaseException, context: Context) -> None:
        match error:
            case InvalidMessage():
                await self._abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            case Fenced():
                await self._abort(context, grpc.StatusCode.ABORTED, "a later stream of this process has taken over")
            case Unavailable():
                await self._abort(context, grpc.StatusCode.UNAVAILABLE, error.message)
            case grpc.aio.BaseError() | asyncio.InvalidStateError():
                return
            case _:
                raise error

    async def _abort(self, context: Context, code: grpc.StatusCode, text: str) -> NoReturn:
        await context.abort(code, text)
        raise AssertionError("abort raises")

    async def _leave(self, session: QuotaSession) -> None:
        try:
            await self._service.leave(session)
        except Unavailable as error:
            logger.debug("the end of a stream is not written, it is seen later reason=%s", error.message)

    async def _keep_touching(self) -> None:
        while True:
            try:
                await self._service.touch(list(self._streams))
            except Unavailable as error:
                logger.debug("quota sessions not written, tried again soon reason=%s", error.message)
            await asyncio.sleep(TOUCH_INTERVAL_S)

    async def _keep_recalling(self) -> None:
        """Looks for starved buckets often, and now and then at everything that is held."""
        since_us, looks = 0, 0
        while True:
            await asyncio.sleep(RECALL_INTERVAL_S)
            looks += 1
            try:
                if self._streams:
                    since_us = await self._recall(since_us, sweeps=looks % SWEEP_EVERY == 0)
            except Unavailable as error:
                logger.debug("nothing recalled, tried again soon reason=%s", error.message)

    async def _recall(self, since_us: int, *, sweeps: bool) -> int:
        now_us, starved = await self._holdings.starved_since(since_us)
        if not since_us or not (starved or sweeps):
            return now_us
        sessions = {session.holder.boot_id: session for session in self._streams}
        leases = await self._holdings.open_leases(sessions)
        buckets = await self._holdings.read_buckets({lease.key for lease in leases})

        def spec_of_lease(lease: LeaseRow) -> BucketSpec | None:
            return self._service.spec(sessions[lease.boot_id], lease.key.bucket_id, now_us)

        responses: dict[int, LeaseResponse] = {}
        for lease, recall in recalls_of(leases, buckets, spec_of_lease, set(starved)):
            responses.setdefault(lease.boot_id, LeaseResponse()).recalls.append(recall)
        for boot_id, response in responses.items():
            self._send(sessions[boot_id], response)
        return now_us

    def _send(self, session: QuotaSession, response: LeaseResponse) -> None:
        """Beside all others: a data plane that hangs takes nothing, and holds up nobody."""
        context = self._streams.get(session)
        if session in self._sending or context is None:
            return
        sending = asyncio.create_task(self._send_recalls(response, session, context), name="quota-recall")
        self._sending[session] = sending
        sending.add_done_callback(lambda _: self._sending.pop(session, None))

    async def _send_recalls(self, response: LeaseResponse, session: QuotaSession, context: Context) -> None:
        self._metrics.recalled(len(response.recalls))
        try:
            await self._write(response, session, context)
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            logger.debug("a recall is not sent, the stream has ended error=%s", type(error).__name__)
