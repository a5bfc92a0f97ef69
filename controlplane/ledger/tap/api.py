"""Handlers of LedgerReplayService."""

import logging
from typing import cast

from google.protobuf.message import Message

from controlplane.audit.log import AuditLog
from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.numbers import number_in, page_after
from controlplane.ledger.tap.repository import Replay, ReplayRepository
from controlplane.ledger.times import read_time, timestamp
from tollway.admin.v1.ledger_pb2 import (
    CancelLedgerReplayRequest,
    CreateLedgerReplayRequest,
    GetLedgerReplayRequest,
    LedgerReplay,
    ListLedgerReplaysRequest,
    ListLedgerReplaysResponse,
)
from tollway.resources.violations import Violation

COLLECTION = "ledgerReplays"
_SERVICE = "tollway.admin.v1.LedgerReplayService"

_log = logging.getLogger(__name__)


def ledger_replay_handlers(database: Database) -> dict[str, Handler]:
    """Handlers by full method name."""
    api = LedgerReplayApi(ReplayRepository(database), AuditLog(ConfigStore(database)))
    return {
        f"{_SERVICE}/CreateLedgerReplay": api.create_ledger_replay,
        f"{_SERVICE}/GetLedgerReplay": api.get_ledger_replay,
        f"{_SERVICE}/ListLedgerReplays": api.list_ledger_replays,
        f"{_SERVICE}/CancelLedgerReplay": api.cancel_ledger_replay,
    }


class LedgerReplayApi:
    """Replays for admins; every method raises InvalidArgument and Unavailable."""

    def __init__(self, replays: ReplayRepository, audit: AuditLog) -> None:
        self._replays = replays
        self._audit = audit

    async def create_ledger_replay(self, principal: AdminPrincipal, message: Message) -> LedgerReplay:
        asked = cast(CreateLedgerReplayRequest, message).ledger_replay
        violations: list[Violation] = []
        since = read_time(asked, "since_time", "ledger_replay.since_time", violations)
        until = read_time(asked, "until_time", "ledger_replay.until_time", violations)
        if since is None and not violations:
            violations.append(Violation("ledger_replay.since_time", "must be set: the time that the database is from"))
        if since is not None and until is not None and since >= until:
            violations.append(Violation("ledger_replay.since_time", "must be before until_time"))
        if violations or since is None:
            raise InvalidArgument(violations)
        deed = {"since_time": since.isoformat(), "until_time": until.isoformat() if until else ""}
        await self._audit.note(principal, COLLECTION, deed)
        replay = await self._replays.create(since, until, principal.name)
        _log.info("replay asked for name=%s principal=%s", _name(replay), principal.name)
        return replay_message(replay)

    async def get_ledger_replay(self, principal: AdminPrincipal, message: Message) -> LedgerReplay:
        """Raises NotFound."""
        return replay_message(await self._read(cast(GetLedgerReplayRequest, message).name))

    async def list_ledger_replays(self, principal: AdminPrincipal, message: Message) -> ListLedgerReplaysResponse:
        request = cast(ListLedgerReplaysRequest, message)
        page = page_after(request.page_size, request.page_token, "replays")
        found = await self._replays.list_before(page.after, page.size + 1)
        shown = found[: page.size]
        return ListLedgerReplaysResponse(
            ledger_replays=map(replay_message, shown),
            next_page_token=page.token(shown[-1].replay_id) if len(found) > page.size else "",
        )

    async def cancel_ledger_replay(self, principal: AdminPrincipal, message: Message) -> LedgerReplay:
        """Raises NotFound; one that has ended stays as it is."""
        name = cast(CancelLedgerReplayRequest, message).name
        replay = await self._read(name)
        await self._audit.note(principal, _name(replay), {"cancelled": True})
        await self._replays.cancel(replay.replay_id)
        return replay_message(await self._read(name))

    async def _read(self, name: str) -> Replay:
        replay = await self._replays.read(number_in(name, COLLECTION, "name"))
        if replay is None:
            raise NotFound(f"{name} does not exist; list replays to see which do", resource=name)
        return replay


def replay_message(replay: Replay) -> LedgerReplay:
    message = LedgerReplay(
        name=_name(replay),
        since_time=timestamp(replay.since_time),
        until_time=timestamp(replay.until_time),
        state=replay.state.value,
        principal=replay.principal,
        request_time=timestamp(replay.request_time),
        messages=replay.messages,
        remaining_messages=max(0, replay.last_sequence - replay.next_sequence + 1) if replay.next_sequence else 0,
        inserted=replay.inserted,
        duplicates=replay.duplicates,
        dead_letters=replay.dead_letters,
        problem=replay.problem,
    )
    if replay.end_time is not None:
        message.end_time.CopyFrom(timestamp(replay.end_time))
    if replay.tap_start_time is not None:
        message.tap_start_time.CopyFrom(timestamp(replay.tap_start_time))
    return message


def _name(replay: Replay) -> str:
    return f"{COLLECTION}/{replay.replay_id}"
