"""Running a changing method once: as one transaction, and a repeated request id gets the first answer."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from controlplane.authz import AdminPrincipal
from controlplane.db.unit_of_work import ConfigStore, UnitOfWork
from controlplane.errors import InvalidArgument
from controlplane.resources.rows import ServedRequest
from controlplane.resources.writer import Caller
from controlplane.secrets.vault import Place, SecretUnreadable, Vault
from tollway.resources.violations import Violation

REPEATABLE_FOR = timedelta(hours=24)
MAX_REQUEST_ID = 128

Answer = TypeVar("Answer", bound=Message)


class ChangeRequest(Protocol):
    """What all changing requests have."""

    validate_only: bool
    request_id: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802


class Transactor:
    """Opens units of work for changing methods; answers are kept sealed, because some of them hold a secret."""

    def __init__(self, config: ConfigStore, vault: Vault) -> None:
        self._config = config
        self._vault = vault

    async def run(
        self,
        principal: AdminPrincipal,
        request: ChangeRequest,
        answer_type: type[Answer],
        respond: Callable[[UnitOfWork, Caller], Awaitable[Answer]],
    ) -> Answer:
        """The answer of `respond`, or that of an earlier request with the same id by the same principal.

        Raises InvalidArgument when the id was used for something else.
        """
        _check_request_id(request.request_id)
        caller = Caller(principal, request.request_id, request.validate_only)
        async with self._config.write(validate_only=request.validate_only) as unit:
            if not request.request_id or request.validate_only:
                return await respond(unit, caller)
            fingerprint = self._vault.digest(request.SerializeToString(deterministic=True))
            served = await unit.requests.find(principal.name, principal.method, request.request_id)
            if served is not None and served.create_time > unit.now - REPEATABLE_FOR:
                return self._repeat(served, fingerprint, answer_type)
            answer = await respond(unit, caller)
            await unit.requests.put(self._serve(caller, unit, fingerprint, answer), unit.now - REPEATABLE_FOR)
            return answer

    def _repeat(self, served: ServedRequest, fingerprint: bytes, answer_type: type[Answer]) -> Answer:
        if served.fingerprint != fingerprint:
            raise InvalidArgument([Violation("request_id", "was used for a different request; take a new one")])
        try:
            content = self._vault.open(
                served.sealed_response, _place(served.principal, served.method, served.request_id)
            )
        except SecretUnreadable as error:
            text = f"the answer of the first request can no longer be read ({error}); take a new one"
            raise InvalidArgument([Violation("request_id", text)]) from None
        return answer_type.FromString(content)

    def _serve(self, caller: Caller, unit: UnitOfWork, fingerprint: bytes, answer: Message) -> ServedRequest:
        principal, request_id = caller.principal, caller.request_id
        sealed = self._vault.seal(answer.SerializeToString(), _place(principal.name, principal.method, request_id))
        return ServedRequest(principal.name, principal.method, request_id, fingerprint, sealed, unit.now)


def _check_request_id(request_id: str) -> None:
    if len(request_id) > MAX_REQUEST_ID or not request_id.isprintable() or not request_id.isascii():
        raise InvalidArgument(
            [Violation("request_id", f"must be at most {MAX_REQUEST_ID} printable characters, e.g. a UUID")]
        )


def _place(principal: str, method: str, request_id: str) -> Place:
    return Place("served_request", f"{principal}\n{method}", request_id)
