"""Which last parts of names are of the Internet."""

import pytest

from tollway.resources.top_level_domains import is_top_level_domain


@pytest.mark.parametrize(
    "label", ["com", "ai", "io", "eu", "uk", "dev", "storage", "xn--p1ai", "\u0440\u0444", "xn--fiqs8s", "\u4e2d\u56fd"]
)
def test_domains_of_the_root_are_known_in_either_spelling(label: str) -> None:
    assert is_top_level_domain(label)


@pytest.mark.parametrize(
    "label",
    [
        *("", "default", "svc", "local", "internal", "example", "test", "onion", "com ", "xn--", "\u0440\u0444\u0444"),
        *("a" * 64, "\u0440" * 100_000, "\ud800"),
    ],
)
def test_all_others_are_none(label: str) -> None:
    assert not is_top_level_domain(label)
