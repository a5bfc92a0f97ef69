"""Providers that upstreams may name."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from tollway.resources.catalog import ROWS
from tollway.resources.catalog.row import ProviderRow as ProviderRow
from tollway.resources.spelling import nearest


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
_OPTIONS = tuple(sorted({option for row in ROWS for option in row.options}))
_ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aws": ("bedrock",),
        "azure": ("azure-openai",),
        "claude": ("anthropic",),
        "gemini": ("google-ai-studio",),
        "google": ("google-ai-studio", "vertex-ai"),
        "grok": ("xai",),
    }
)
"""Providers that people call by other names: by what is theirs, or by whose they are."""


def canonical_provider(name: str) -> str:
    """The name of the provider that `name` is a spelling of; `name` itself where there is none."""
    row = PROVIDERS.get(name)
    return name if row is None else row.name


def provider_names() -> str:
    """The known names, for messages."""
    return ", ".join(sorted(PROVIDERS))


def unknown_provider(name: str) -> str:
    """What is wrong with a provider `name` that is none."""
    meant = " or ".join(f'"{each}"' for each in _ALIASES.get(name.lower(), (nearest(name, PROVIDERS),)) if each)
    guess = f"did you mean {meant}? " if meant else ""
    return f'"{name}" is not a provider that this release speaks; {guess}known are {provider_names()}'


def nearest_option(name: str) -> str:
    """The option of any provider's upstreams that `name` is like, "" when it is like none."""
    return nearest(name, _OPTIONS)
