"""Naming a database without its password."""

import pytest

from controlplane.db.refusals import place_of


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db:5432/tollway",
        "postgresql://user@db:5432/tollway",
        "postgresql://user:hunter2@db:5432/tollway?password=hunter2",
        "postgresql://user:12/hunter2@db:5432/tollway",
    ],
)
def test_a_place_is_host_port_and_database(url: str) -> None:
    assert place_of(url) == "db:5432/tollway"
