"""Providers that upstreams may name."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """What an upstream of this provider must and may say.

    `base_url` is the provider's own address; without one every upstream must give its own. `needs_secret` holds for
    calls to that address. `catalog_id` is the provider's id in the price catalog, "" when it is not in there.
    """

    name: str
    base_url: str = ""
    needs_secret: bool = False
    options: frozenset[str] = frozenset()
    catalog_id: str = ""


PROVIDERS: Mapping[str, ProviderRow] = {
    row.name: row
    for row in (
        ProviderRow("openai", base_url="https://api.openai.com/v1", needs_secret=True, catalog_id="openai"),
        ProviderRow("openai_compatible"),
        ProviderRow("sim"),
    )
}


def provider_names() -> str:
    """The known names, for messages."""
    return ", ".join(sorted(PROVIDERS))
