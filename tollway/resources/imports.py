"""A price book as an importer makes it: rows that compile, and everything that it left out, by reason."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tollway.config.v1.resources_pb2 import BookPrice, ModelMatch, Price, PriceBook, Rate
from tollway.kernel.usage import Meter
from tollway.resources.patterns import compile_model_matches

PRICE_BOOKS = "priceBooks"
_SHORT_DIGEST = 8
_MAX_TEXT = 300

_SIM_EMBED_NANO_USD = 100_000_000
_SIM_INPUT_NANO_USD = 1_000_000_000
_SIM_OUTPUT_NANO_USD = 4_000_000_000

Note = Callable[[str], None]
"""Takes note of a reason for which something is left out."""


@dataclass(frozen=True, slots=True)
class ImportedBook:
    """`id_prefix` begins the ids of books of this source; `omissions` are names of the source's entries by reason."""

    book: PriceBook
    id_prefix: str
    omissions: dict[str, list[str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the prices in hex: the same for the same rows, whatever they were made of."""
        content = PriceBook(prices=self.book.prices).SerializeToString(deterministic=True)
        return hashlib.sha256(content).hexdigest()

    @property
    def book_id(self) -> str:
        """The id that the book gets unless it is given one: the same for the same source and content."""
        return f"{self.id_prefix}-{self.digest[:_SHORT_DIGEST]}"

    @property
    def name(self) -> str:
        return f"{PRICE_BOOKS}/{self.book_id}"


class BookWriter:
    """Gathers the rows of one book; rows that no call could be priced by are omitted."""

    def __init__(self, source: str, id_prefix: str) -> None:
        self._imported = ImportedBook(PriceBook(source=source), id_prefix)
        self._ids: set[str] = set()

    def omit(self, subject: str, reason: str) -> None:
        subjects = self._imported.omissions.setdefault(_storable(reason), [])
        shown = _storable(subject)
        if shown not in subjects[-1:]:
            subjects.append(shown)

    def add(self, row: BookPrice) -> None:
        if row.id in self._ids:
            self.omit(row.id, "stands there twice; the first one is used")
            return
        try:
            compile_model_matches(row.price.models)
        except ValueError as error:
            self.omit(row.id, str(error))
            return
        self._ids.add(row.id)
        self._imported.book.prices.append(row)

    def finish(self) -> ImportedBook:
        """The book, with the simulated provider's prices at its end."""
        for row in _sim_prices():
            self.add(row)
        return self._imported


class RateWriter:
    """Gathers the rates of one price: the first that is said of a meter, a tier and a threshold counts."""

    def __init__(self) -> None:
        self._rates: dict[tuple[int, str, int], Rate] = {}

    def add(self, meter: Meter, nano_usd_per_million: int, above_input_tokens: int, service_tier: str) -> bool:
        """False when another rate stands there already."""
        key = (int(meter), service_tier, above_input_tokens)
        rate = Rate(
            meter=int(meter),  # type: ignore[arg-type]
            nano_usd_per_million=nano_usd_per_million,
            above_input_tokens=above_input_tokens,
            service_tier=service_tier,
        )
        return self._rates.setdefault(key, rate) == rate

    def rates(self) -> list[Rate]:
        """Ordinary rates first, in order of meter and threshold."""
        return [self._rates[key] for key in sorted(self._rates, key=lambda key: (key[1], key[0], key[2]))]


def _storable(text: str) -> str:
    """What a file says, as messages and the database can hold it: well-formed, without NUL, and bounded."""
    return text[:_MAX_TEXT].encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _sim_prices() -> Iterable[BookPrice]:
    yield _sim_price("embed", ModelMatch(exact="embed"), ((Meter.INPUT, _SIM_EMBED_NANO_USD),))
    rates = ((Meter.INPUT, _SIM_INPUT_NANO_USD), (Meter.OUTPUT, _SIM_OUTPUT_NANO_USD))
    yield _sim_price("*", ModelMatch(glob="*"), rates)


def _sim_price(model: str, match: ModelMatch, rates: Iterable[tuple[Meter, int]]) -> BookPrice:
    lines = [Rate(meter=int(meter), nano_usd_per_million=nano) for meter, nano in rates]  # type: ignore[arg-type]
    return BookPrice(id=f"sim/{model}", model=model, price=Price(provider="sim", models=[match], rates=lines))
