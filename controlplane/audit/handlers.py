"""AuditService: the changes, newest first."""

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from controlplane.audit.filters import parse_filter
from controlplane.audit.rows import FILTER_FIELDS, StoredAuditEntry
from controlplane.authz import AdminPrincipal, Handler
from controlplane.db.unit_of_work import ConfigStore
from controlplane.errors import InvalidArgument
from controlplane.resources.paging import make_page_token, page_limit, read_page_token
from tollway.admin.v1.audit_pb2 import AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse
from tollway.resources.violations import Violation


def audit_handlers(config: ConfigStore) -> dict[str, Handler]:
    async def list_audit_events(principal: AdminPrincipal, request: Message) -> Message:
        assert isinstance(request, ListAuditEventsRequest)
        filters = parse_filter(request.filter, FILTER_FIELDS)
        limit = page_limit(request.page_size)
        list_name = f"AuditEvent:{sorted(filters.items())}"
        before_id = _before_id(read_page_token(list_name, request.page_token))
        async with config.read() as view:
            rows = await view.audit.list_before(before_id, filters, limit + 1)
        more = len(rows) > limit
        return ListAuditEventsResponse(
            audit_events=[_to_event(row) for row in rows[:limit]],
            next_page_token=make_page_token(list_name, str(rows[limit - 1].id)) if more else "",
        )

    return {"tollway.admin.v1.AuditService/ListAuditEvents": list_audit_events}


def _before_id(after: str) -> int | None:
    if not after:
        return None
    if not after.isdecimal() or len(after) > 18:
        raise InvalidArgument([Violation("page_token", "is not a token of this list")])
    return int(after)


def _to_event(row: StoredAuditEntry) -> AuditEvent:
    entry = row.entry
    event = AuditEvent(
        name=f"auditEvents/{row.id}",
        principal=entry.principal,
        method=entry.method,
        resource=entry.resource,
        revision=entry.revision,
        request_id=entry.request_id,
    )
    event.time.FromDatetime(entry.time)
    if entry.before is not None:
        event.before.CopyFrom(ParseDict(dict(entry.before), Struct()))
    if entry.after is not None:
        event.after.CopyFrom(ParseDict(dict(entry.after), Struct()))
    return event
