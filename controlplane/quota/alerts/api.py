"""Handlers of BudgetAlertService."""

import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import cast

from google.protobuf.message import Message

from controlplane.audit.filters import parse_filter
from controlplane.authz import AdminPrincipal, Handler
from controlplane.errors import InvalidArgument, NotFound
from controlplane.ledger.reading.pages import (
    invalid_page_token,
    page_size_of,
    query_fingerprint,
    read_page_token,
    write_page_token,
)
from controlplane.quota.alerts.render import COLLECTION, alert_message
from controlplane.quota.alerts.repository import AlertPage, AlertRepository
from controlplane.quota.alerts.rows import Alert, AlertState
from controlplane.quota.alerts.schedule import GIVE_UP_AFTER
from tollway.admin.v1 import budget_alerts_pb2 as admin
from tollway.kernel.names import full_name
from tollway.resources.violations import Violation

_SERVICE = "tollway.admin.v1.BudgetAlertService"
_FILTER_FIELDS = ("budget", "state")
_STATES = {state.word: state for state in AlertState}
_log = logging.getLogger(__name__)


def alert_handlers(
    repository: AlertRepository, wake: Callable[[], None], now: Callable[[], datetime]
) -> dict[str, Handler]:
    """Handlers by full method name. `wake` says that there is an alert to deliver."""
    api = BudgetAlertApi(repository, wake, now)
    return {
        f"{_SERVICE}/ListBudgetAlerts": api.list_alerts,
        f"{_SERVICE}/GetBudgetAlert": api.get_alert,
        f"{_SERVICE}/RetryBudgetAlert": api.retry_alert,
    }


class BudgetAlertApi:
    """Alerts for admins; every method raises InvalidArgument and Unavailable."""

    def __init__(self, repository: AlertRepository, wake: Callable[[], None], now: Callable[[], datetime]) -> None:
        self._repository = repository
        self._wake = wake
        self._now = now

    async def list_alerts(self, principal: AdminPrincipal, message: Message) -> admin.ListBudgetAlertsResponse:
        request = cast(admin.ListBudgetAlertsRequest, message)
        filters = parse_filter(request.filter, _FILTER_FIELDS)
        size = page_size_of(request.page_size, default=50, maximum=500)
        fingerprint = query_fingerprint(COLLECTION, sorted(filters.items()))
        budget = full_name("budgets", filters["budget"]) if "budget" in filters else None
        before = _position(request.page_token, fingerprint) if request.page_token else None
        found = await self._repository.read_page(AlertPage(size + 1, before, budget, _state_of(filters.get("state"))))
        shown = found[:size]
        return admin.ListBudgetAlertsResponse(
            budget_alerts=[alert_message(alert) for alert in shown],
            next_page_token=_token(fingerprint, shown[-1]) if len(found) > size else "",
        )

    async def get_alert(self, principal: AdminPrincipal, message: Message) -> admin.BudgetAlert:
        """Raises NotFound."""
        name = cast(admin.GetBudgetAlertRequest, message).name
        return _shown(name, await self._repository.find(_id_in(name)))

    async def retry_alert(self, principal: AdminPrincipal, message: Message) -> admin.BudgetAlert:
        """Raises NotFound."""
        name, now = cast(admin.RetryBudgetAlertRequest, message).name, self._now()
        shown = _shown(name, await self._repository.retry(_id_in(name), now, now + GIVE_UP_AFTER))
        _log.info("alert to be delivered again name=%s principal=%s", name, principal.name)
        self._wake()
        return shown


def _shown(name: str, alert: Alert | None) -> admin.BudgetAlert:
    if alert is None:
        raise NotFound(f"{name} does not exist; list {COLLECTION} to see those that do", resource=name)
    return alert_message(alert)


def _id_in(name: str) -> uuid.UUID:
    collection, _, text = name.rpartition("/")
    try:
        alert_id = uuid.UUID(text)
    except ValueError:
        alert_id = None
    if alert_id is None or collection != COLLECTION or str(alert_id) != text:
        raise InvalidArgument([Violation("name", f"must be {COLLECTION}/ and an id, as the list shows it")])
    return alert_id


def _state_of(word: str | None) -> AlertState | None:
    if word is None:
        return None
    if word not in _STATES:
        raise InvalidArgument([Violation("filter", f'"{word}" is not a state; choose from {", ".join(_STATES)}')])
    return _STATES[word]


def _token(fingerprint: str, last: Alert) -> str:
    return write_page_token(fingerprint, [last.create_time.isoformat(), str(last.alert_id)])


def _position(token: str, fingerprint: str) -> tuple[datetime, uuid.UUID]:
    match read_page_token(token, fingerprint):
        case [str(time), str(alert_id)]:
            try:
                moment, identity = datetime.fromisoformat(time), uuid.UUID(alert_id)
            except ValueError:
                raise invalid_page_token() from None
            if moment.tzinfo is not None:
                return moment, identity
    raise invalid_page_token()
