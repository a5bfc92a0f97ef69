"""The lease service on a real gRPC port, with an authority in memory behind it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from tests.fakes.quota import FakeAuthority
from tollway.quota.v1 import quota_pb2 as wire
from tollway.quota.v1.quota_pb2_grpc import QuotaServiceServicer, add_QuotaServiceServicer_to_server


@dataclass(slots=True)
class QuotaServer(QuotaServiceServicer):
    """`is_silent` takes what comes and answers nothing; `pause_s` comes before each answer."""

    authority: FakeAuthority = field(default_factory=FakeAuthority)
    hellos: list[wire.Hello] = field(default_factory=list)
    updates: list[wire.Update] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    is_silent: bool = False
    pause_s: float = 0.0
    address: str = ""
    _server: grpc.aio.Server | None = None

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self._server = grpc.aio.server()
        add_QuotaServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def Lease(  # noqa: N802
        self,
        request_iterator: AsyncIterator[wire.LeaseRequest],
        context: "grpc.aio.ServicerContext[wire.LeaseRequest, wire.LeaseResponse]",
    ) -> AsyncIterator[wire.LeaseResponse]:
        self.tokens.append(str(dict(context.invocation_metadata() or ()).get("authorization", "")))
        async for request in request_iterator:
            if request.HasField("hello"):
                self.hellos.append(request.hello)
                self.authority.hello(list(request.hello.held))
                yield wire.LeaseResponse()
                continue
            self.updates.append(request.update)
            if self.is_silent:
                continue
            await asyncio.sleep(self.pause_s)
            yield self.authority.answer(request.update)
