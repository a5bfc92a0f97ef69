"""What is stored about a price book beside its rows: an admin PriceBook as the spec of a resource. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from google.protobuf import json_format

from controlplane.errors import InvalidArgument, NotFound
from controlplane.prices.timeline import Period, state_at
from controlplane.resources.rows import StoredResource
from tollway.admin.v1.price_books_pb2 import PriceBook, PriceBookOmission
from tollway.config.v1 import resources_pb2 as machine
from tollway.kernel.names import full_name, is_resource_id
from tollway.resources.imports import PRICE_BOOKS, ImportedBook
from tollway.resources.pricing import book_model
from tollway.resources.project import project_price_book
from tollway.resources.violations import Violation

PRICE_BOOK_KIND = "PriceBook"
FINGERPRINT_LABEL = "catalog_fingerprint"

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORED = (
    "source",
    "digest",
    "price_count",
    "model_count",
    "activations",
    "omissions",
    "omission_count",
    "distributed",
)


def check_book_name(name: str, field: str = "name") -> str:
    """The full name of a book that was named in full or by its id. Raises InvalidArgument, naming `field`."""
    full = full_name(PRICE_BOOKS, name)
    collection, _, book_id = full.partition("/")
    if collection != PRICE_BOOKS or not is_resource_id(book_id):
        raise InvalidArgument([Violation(field, f'"{name}" is not of the form {PRICE_BOOKS}/{{price_book}}')])
    return full


def missing_book(name: str) -> NotFound:
    return NotFound(f"PriceBook {name} does not exist; GET /v1/priceBooks lists those that do", resource=name)


def imported_header(imported: ImportedBook) -> PriceBook:
    """The header of a book that is not stored yet."""
    rows = imported.book.prices
    omissions = [PriceBookOmission(reason=why, subjects=names) for why, names in imported.omissions.items()]
    return PriceBook(
        source=imported.book.source,
        digest=imported.digest,
        price_count=len(rows),
        model_count=len({(row.price.provider, book_model(row)) for row in rows}),
        omissions=omissions,
        omission_count=sum(len(omission.subjects) for omission in omissions),
    )


def header_of(row: StoredResource) -> PriceBook:
    """The header that a row holds, without its state."""
    book = PriceBook(name=row.name, uid=str(row.uid), etag=row.etag)
    json_format.ParseDict(dict(row.spec), book, ignore_unknown_fields=True)
    book.create_time.FromDatetime(row.create_time)
    book.update_time.FromDatetime(row.update_time)
    return book


def with_header(row: StoredResource, book: PriceBook) -> StoredResource:
    """`row` with `book` as its spec."""
    spec = json_format.MessageToDict(book, preserving_proto_field_name=True)
    return replace(row, spec={name: value for name, value in spec.items() if name in _STORED})


def starts_ms(book: PriceBook) -> list[int]:
    """Unix milliseconds of the activations; 0 for one that holds since ever."""
    return [a.effective_from.ToMilliseconds() if a.HasField("effective_from") else 0 for a in book.activations]


def present_book(row: StoredResource, periods: Sequence[Period], now: datetime) -> PriceBook:
    """The message that callers see; `periods` are those of all books."""
    book = header_of(row)
    book.state = state_at(book.name, periods, to_ms(now))
    return book


def project_book(row: StoredResource, prices: Iterable[machine.BookPrice]) -> machine.Resource:
    """The machine form of an activated book and its rows."""
    header = header_of(row)
    form = machine.PriceBook(source=header.source, prices=prices, effective_from_ms=sorted(starts_ms(header)))
    return project_price_book(row.name, form, row.revision)


def to_ms(time: datetime) -> int:
    """Unix milliseconds."""
    return (time - _UNIX_EPOCH) // timedelta(milliseconds=1)
