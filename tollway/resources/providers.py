"""Providers that upstreams may name."""

from collections.abc import Iterable, Iterator, Mapping

from tollway.resources.catalog import ROWS
from tollway.resources.catalog.row import ProviderRow as ProviderRow
from tollway.resources.spelling import did_you_mean


class ProviderRows(Mapping[str, ProviderRow]):
    """Rows by name. One is found under other spellings of its name too: "-", "_" and "." are the same in it."""

    def __init__(self, rows: Iterable[ProviderRow]) -> None:
        self._rows = {row.name: row for row in rows}
        self._spelled = {_spelling(name): row for name, row in self._rows.items()}

    def __getitem__(self, name: str) -> ProviderRow:
        return self._spelled[_spelling(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _spelling(name: str) -> str:
    return name.replace("_", "-").replace(".", "-")


PROVIDERS: Mapping[str, ProviderRow] = ProviderRows(ROWS)


def canonical_provider(name: str) -> str:
    """The name of the provider that `name` is a spelling of; `name` itself where there is none."""
    row = PROVIDERS.get(name)
    return name if row is None else row.name


def provider_names() -> str:
    """The known names, for messages."""
    return ", ".join(sorted(PROVIDERS))


def unknown_provider(name: str) -> str:
    """What is wrong with a provider `name` that is none."""
    meant = did_you_mean(name, PROVIDERS)
    return f'"{name}" is not a provider that this release speaks; {meant}known are {provider_names()}'


def has_option(name: str) -> bool:
    """Whether upstreams of any provider have an option called `name`."""
    return any(name in row.options for row in PROVIDERS.values())
