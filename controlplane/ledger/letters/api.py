"""Handlers of DeadLetterService."""

import logging
from collections.abc import Sequence
from typing import cast

from google.protobuf.message import Message

from controlplane.audit.log import AuditLog
from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.letters.content import COLLECTION, letter_message
from controlplane.ledger.letters.replaying import LetterReplayer
from controlplane.ledger.letters.repository import MOST_REASON_CHARACTERS, DeadLetterRepository, StoredLetter
from controlplane.ledger.numbers import number_in, page_after
from controlplane.ledger.repository import LedgerRepository
from tollway.admin.v1.ledger_pb2 import (
    DeadLetter,
    DiscardDeadLettersRequest,
    DiscardDeadLettersResponse,
    GetDeadLetterRequest,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ReplayDeadLettersRequest,
    ReplayDeadLettersResponse,
    ReplayedDeadLetter,
)
from tollway.resources.violations import Violation

MOST_NAMES = 100
_SERVICE = "tollway.admin.v1.DeadLetterService"

_log = logging.getLogger(__name__)


def dead_letter_handlers(database: Database) -> dict[str, Handler]:
    """Handlers by full method name."""
    letters = DeadLetterRepository(database)
    audit = AuditLog(ConfigStore(database))
    api = DeadLetterApi(letters, LetterReplayer(letters, LedgerRepository(database)), audit)
    return {
        f"{_SERVICE}/ListDeadLetters": api.list_dead_letters,
        f"{_SERVICE}/GetDeadLetter": api.get_dead_letter,
        f"{_SERVICE}/ReplayDeadLetters": api.replay_dead_letters,
        f"{_SERVICE}/DiscardDeadLetters": api.discard_dead_letters,
    }


class DeadLetterApi:
    """Dead letters for admins; every method raises InvalidArgument and Unavailable."""

    def __init__(self, letters: DeadLetterRepository, replayer: LetterReplayer, audit: AuditLog) -> None:
        self._letters = letters
        self._replayer = replayer
        self._audit = audit

    async def list_dead_letters(self, principal: AdminPrincipal, message: Message) -> ListDeadLettersResponse:
        request = cast(ListDeadLettersRequest, message)
        page = page_after(request.page_size, request.page_token, "letters", request.show_discarded)
        found = await self._letters.list_after(page.after, page.size + 1, with_discarded=request.show_discarded)
        shown = found[: page.size]
        return ListDeadLettersResponse(
            dead_letters=[letter_message(stored) for stored in shown],
            next_page_token=page.token(shown[-1].letter_id) if len(found) > page.size else "",
        )

    async def get_dead_letter(self, principal: AdminPrincipal, message: Message) -> DeadLetter:
        """Raises NotFound."""
        [stored] = await self._read([cast(GetDeadLetterRequest, message).name], "name")
        return letter_message(stored)

    async def replay_dead_letters(self, principal: AdminPrincipal, message: Message) -> ReplayDeadLettersResponse:
        """Raises NotFound before any is tried; after Unavailable some may be booked, and all may be tried again."""
        request = cast(ReplayDeadLettersRequest, message)
        results = []
        for stored in await self._read(request.names, "names"):
            name = f"{COLLECTION}/{stored.letter_id}"
            await self._audit.note(principal, name, {"replayed": True})
            replayed = await self._replayer.replay(stored)
            kept = replayed.reason
            _log.info("dead letter replayed name=%s principal=%s reason=%r", name, principal.name, kept)
            results.append(
                ReplayedDeadLetter(
                    name=name,
                    inserted=replayed.inserted,
                    duplicates=replayed.duplicates,
                    reason=kept,
                    new_dead_letters=replayed.new_dead_letters,
                )
            )
        return ReplayDeadLettersResponse(results=results)

    async def discard_dead_letters(self, principal: AdminPrincipal, message: Message) -> DiscardDeadLettersResponse:
        """Raises NotFound; then none is set aside."""
        request = cast(DiscardDeadLettersRequest, message)
        reason = request.reason.strip()
        if not reason or len(reason) > MOST_REASON_CHARACTERS or not reason.isprintable():
            text = f"must say in 1 to {MOST_REASON_CHARACTERS} printable characters why nobody will book them"
            raise InvalidArgument([Violation("reason", text)])
        numbers = [stored.letter_id for stored in await self._read(request.names, "names")]
        for number in numbers:
            await self._audit.note(principal, f"{COLLECTION}/{number}", {"discarded": True, "reason": reason})
        await self._letters.discard(numbers, principal.name, reason)
        _log.warning("dead letters set aside names=%s principal=%s", list(request.names), principal.name)
        return DiscardDeadLettersResponse()

    async def _read(self, names: Sequence[str], field: str) -> list[StoredLetter]:
        """The letters of `names` in their order, each once. Raises InvalidArgument and NotFound."""
        if not 0 < len(names) <= MOST_NAMES:
            raise InvalidArgument([Violation(field, f"must hold 1 to {MOST_NAMES} names of dead letters")])
        numbers = list(dict.fromkeys(number_in(name, COLLECTION, field) for name in names))
        found = await self._letters.read(numbers)
        for number in numbers:
            if number not in found:
                name = f"{COLLECTION}/{number}"
                raise NotFound(f"{name} does not exist, or is booked by now; list dead letters anew", resource=name)
        return [found[number] for number in numbers]
