"""The one way to every admin method: authentication, readiness, decoding, the handler, and what is told of its end."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import cast

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal, Handler, StreamHandler
from controlplane.errors import ControlPlaneError, Unavailable
from controlplane.telemetry import AdminCallRecord, Telemetry
from controlplane.transport.authentication import TokenAuthenticator
from controlplane.transport.decode import require_sound_values
from controlplane.transport.methods import BoundMethod
from controlplane.transport.readiness import Readiness
from controlplane.transport.statuses import Internal, error_row

_log = logging.getLogger("tollway.admin")


ReadRequest = Callable[[], Awaitable[Message]]
"""Makes the request message out of what arrived; raises ControlPlaneError when it cannot."""


@dataclass(frozen=True, slots=True, repr=False)
class Origin:
    """Who asks: every Authorization value, the network peer, and the trace that the call belongs to."""

    authorizations: Sequence[str]
    peer: str
    traceparent: str = ""


class AdminGate:
    """Serves calls of bound methods; what it raises is always a ControlPlaneError that is safe to show."""

    def __init__(self, authenticator: TokenAuthenticator, readiness: Readiness, telemetry: Telemetry) -> None:
        self._authenticator = authenticator
        self._readiness = readiness
        self._telemetry = telemetry

    async def call(self, bound: BoundMethod, origin: Origin, read: ReadRequest) -> Message:
        """The method's response; nothing of the request is read before its caller is known."""
        method = bound.method.name
        with self._telemetry.admin_call(method, origin.traceparent) as record:
            try:
                principal, request = await self._admit(bound, origin, read)
                return await cast(Handler, bound.handler)(principal, request)
            except asyncio.CancelledError:
                record.fail("CANCELLED", 499)
                raise
            except Exception as error:
                raise _failed(record, error, method) from error

    async def stream(self, bound: BoundMethod, origin: Origin, read: ReadRequest) -> AsyncGenerator[Message, None]:
        """The parts of the response of a method that streams; as `call` in all else."""
        method = bound.method.name
        with self._telemetry.admin_call(method, origin.traceparent) as record:
            try:
                principal, request = await self._admit(bound, origin, read)
                async with aclosing(cast(StreamHandler, bound.handler)(principal, request)) as parts:
                    async for part in parts:
                        yield part
            except asyncio.CancelledError:
                record.fail("CANCELLED", 499)
                raise
            except Exception as error:
                raise _failed(record, error, method) from error

    async def _admit(self, bound: BoundMethod, origin: Origin, read: ReadRequest) -> tuple[AdminPrincipal, Message]:
        principal = self._authenticator.authenticate(origin.authorizations, origin.peer)
        if self._readiness.obstacle:
            raise Unavailable(f"the control plane is not ready: {self._readiness.obstacle}")
        request = await read()
        require_sound_values(request)
        return replace(principal, method=bound.method.name), request


def _failed(record: AdminCallRecord, error: Exception, method: str) -> ControlPlaneError:
    """What to raise for `error`, which `record` is told."""
    shown = _shown(error, method)
    row = error_row(shown)
    record.fail(row.code.name, row.http_status)
    return shown


def _shown(error: Exception, method: str) -> ControlPlaneError:
    if isinstance(error, ControlPlaneError):
        return error
    if isinstance(error, OSError):
        _log.warning("dependency away method=%s error=%s", method, type(error).__name__)
        return Unavailable("a dependency of the control plane cannot be reached at the moment; try again shortly")
    incident = uuid.uuid4().hex
    _log.error("unexpected error method=%s incident=%s", method, incident, exc_info=error)
    return Internal(f"internal error; the control plane's log has it under incident {incident}")
