"""What admins may name and what data planes can speak is the same list."""

from dataplane.dialects import catalog
from tollway.resources import providers


def test_both_planes_know_the_same_providers_at_the_same_addresses() -> None:
    spoken = {name: spec.base_url for name, spec in catalog.PROVIDERS.items()}
    accepted = {name: row.base_url for name, row in providers.PROVIDERS.items()}
    assert {name: url or "" for name, url in spoken.items()} == accepted
