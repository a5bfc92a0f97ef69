"""Who calls the admin API, and what handlers are."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class AdminPrincipal:
    """An authenticated caller of the admin API; `name` is what audit events show."""

    name: str
    method: str = ""


Handler = Callable[[AdminPrincipal, Message], Awaitable[Message]]
"""One admin method: a principal whose `method` is the full method name, a request, and the response."""

StreamHandler = Callable[[AdminPrincipal, Message], AsyncGenerator[Message, None]]
"""As Handler, of a method whose response is a stream."""

Handlers = Mapping[str, Handler | StreamHandler]
"""Handlers by full method name, e.g. "tollway.admin.v1.TeamService/CreateTeam"."""
