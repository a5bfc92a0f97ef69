"""The lease service over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from controlplane.quota.holdings.repository import HoldingRepository
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.server import QuotaServer
from tests.integration.quota.authorities import Authority, Plane, budget, spell
from tollway.quota.v1.quota_pb2 import (
    GRANT_RESULT_EXHAUSTED,
    GRANT_RESULT_GRANTED,
    Ask,
    Hello,
    LeaseRequest,
    LeaseResponse,
    Update,
)
from tollway.quota.v1.quota_pb2_grpc import QuotaServiceStub

TOKEN = "plane"
BUDGET = spell()
DEADLINE_S = 10.0


@asynccontextmanager
async def serving(authority: Authority, *, is_loaded: bool = True) -> AsyncIterator[tuple[QuotaServer, str]]:
    """A server, and its address."""
    metrics = QuotaMetrics(CollectorRegistry())
    holdings = HoldingRepository(authority.database)
    quota = QuotaServer(authority.service, holdings, metrics, plane_token=TOKEN, is_loaded=lambda: is_loaded)
    task = asyncio.create_task(quota.run())
    server = grpc.aio.server()
    quota.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield quota, f"127.0.0.1:{port}"
    finally:
        quota.close()
        await server.stop(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def stream(address: str, token: str = TOKEN) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        lease: Any = QuotaServiceStub(channel).Lease
        yield lease(metadata=(("authorization", f"Bearer {token}"),))


async def say_hello(call: Any, boot_id: int = 1, generation: int = 1) -> None:
    hello = Hello(node=f"node-{boot_id}", boot_id=boot_id, generation=generation)
    await call.write(LeaseRequest(hello=hello))


async def ask(call: Any, need: int, sequence: int = 1, **fields: Any) -> LeaseResponse:
    update = Update(sequence=sequence, asks=[Ask(bucket=BUDGET, need=need, **fields)])
    await call.write(LeaseRequest(update=update))
    async with asyncio.timeout(DEADLINE_S):
        while (response := await call.read()).ack_sequence != sequence:
            continue
    return response  # type: ignore[no-any-return]


async def status_of(call: Any) -> grpc.StatusCode:
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            while isinstance(await call.read(), LeaseResponse):
                continue
    return refused.value.code()


async def test_an_ask_is_answered_under_its_number(authority: Authority) -> None:
    authority.configure(budget())
    async with serving(authority) as (_, address), stream(address) as call:
        await say_hello(call)
        response = await ask(call, 1_000, sequence=7)
        assert [grant.result for grant in response.grants] == [GRANT_RESULT_GRANTED]
        again = await ask(call, 1_000, sequence=8, lease_id=response.grants[0].lease_id)
        assert again.grants[0].granted_total == 2_000


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (lambda call: call.write(LeaseRequest(update=Update())), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda call: call.write(LeaseRequest(hello=Hello(node="n"))), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_stream_begins_with_a_hello(
    authority: Authority, say: Callable[[Any], Awaitable[None]], expected: grpc.StatusCode
) -> None:
    async with serving(authority) as (_, address), stream(address) as call:
        await say(call)
        assert await status_of(call) is expected


async def test_without_the_token_nothing_is_leased(authority: Authority) -> None:
    async with serving(authority) as (_, address), stream(address, "wrong") as call:
        assert await status_of(call) is grpc.StatusCode.UNAUTHENTICATED


async def test_without_a_configuration_another_control_plane_is_tried(authority: Authority) -> None:
    async with serving(authority, is_loaded=False) as (_, address), stream(address) as call:
        await say_hello(call)
        assert await status_of(call) is grpc.StatusCode.UNAVAILABLE


async def test_a_later_stream_ends_the_earlier_one(authority: Authority) -> None:
    authority.configure(budget())
    async with serving(authority) as (_, address), stream(address) as zombie, stream(address) as call:
        await say_hello(zombie)
        await ask(zombie, 1)
        await say_hello(call, generation=2)
        await ask(call, 1)
        await zombie.write(LeaseRequest(update=Update(sequence=2, asks=[Ask(bucket=BUDGET, need=1)])))
        assert await status_of(zombie) is grpc.StatusCode.ABORTED


async def test_what_others_starve_for_is_recalled(authority: Authority, other: Authority) -> None:
    """Whoever is refused may be on another control plane."""
    authority.configure(budget())
    async with serving(authority) as (_, address), stream(address) as call:
        await say_hello(call)
        held = (await ask(call, 900_000)).grants[0]
        starving = await Plane.connect(other, boot_id=2)
        recalled = asyncio.create_task(call.read())
        async with asyncio.timeout(DEADLINE_S):
            while not recalled.done():
                assert (await starving.ask(BUDGET, need=500_000)).result == GRANT_RESULT_EXHAUSTED
                await asyncio.sleep(0.05)
        response = await recalled
        assert [(r.lease_id, r.keep_at_most) for r in response.recalls] == [(held.lease_id, 0)]


async def test_a_rule_that_is_gone_is_recalled(authority: Authority) -> None:
    authority.configure(budget())
    async with serving(authority) as (_, address), stream(address) as call:
        await say_hello(call)
        held = (await ask(call, 1_000)).grants[0]
        authority.resources.clear()
        async with asyncio.timeout(DEADLINE_S):
            response = await call.read()
        assert [r.lease_id for r in response.recalls] == [held.lease_id]


async def test_a_server_that_closes_sends_its_streams_elsewhere(authority: Authority) -> None:
    authority.configure(budget())
    async with serving(authority) as (quota, address), stream(address) as call:
        await say_hello(call)
        await ask(call, 1)
        quota.close()
        assert await status_of(call) is grpc.StatusCode.UNAVAILABLE
        await quota.wait_ended(DEADLINE_S)
