"""Requests of PriceReratingService -> what is asked for, with every violation at once. Pure."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from controlplane.errors import InvalidArgument
from controlplane.ledger.reading.dimensions import RECORD_DIMENSIONS
from controlplane.ledger.reading.filters import parse_filter
from controlplane.ledger.rerating.book import BOOK_COLLECTION
from controlplane.ledger.rerating.runs import RUN_COLLECTION, parse_run
from controlplane.ledger.times import read_time
from tollway.admin.v1.rerating_pb2 import ReratingRun as RunMessage
from tollway.kernel.names import full_name
from tollway.resources.violations import Violation

_FIELD = "rerating_run"


@dataclass(frozen=True, slots=True)
class RunOrder:
    """The entries and the price book that a run is to rate by."""

    start_time: datetime
    end_time: datetime
    filter: str
    price_book: str


def run_order(message: RunMessage, now: datetime) -> RunOrder:
    """What `message` asks for; it ends at `now` at the latest. Raises InvalidArgument."""
    violations: list[Violation] = []
    start = read_time(message, "start_time", f"{_FIELD}.start_time", violations)
    end = min(read_time(message, "end_time", f"{_FIELD}.end_time", violations) or now, now)
    if not message.HasField("start_time"):
        violations.append(Violation(f"{_FIELD}.start_time", "is missing: the time from which attempts are rated anew"))
    elif start is not None and start >= end:
        violations.append(Violation(f"{_FIELD}.start_time", "must be before end_time and before the present"))
    if not message.price_book:
        violations.append(Violation(f"{_FIELD}.price_book", f"is missing: name a price book, {BOOK_COLLECTION}/ID"))
    try:
        parse_filter(message.filter, RECORD_DIMENSIONS)
    except InvalidArgument as error:
        violations += [Violation(f"{_FIELD}.{found.field}", found.description) for found in error.violations]
    if violations or start is None:
        raise InvalidArgument(violations)
    return RunOrder(start, end, message.filter, full_name(BOOK_COLLECTION, message.price_book))


def run_id_of(name: str, field: str = "name") -> uuid.UUID:
    """Raises InvalidArgument when `name` names no run."""
    run_id = parse_run(name)
    if run_id is None:
        raise InvalidArgument([Violation(field, f"must be {RUN_COLLECTION}/ and a run id, as ListReratingRuns shows")])
    return run_id
