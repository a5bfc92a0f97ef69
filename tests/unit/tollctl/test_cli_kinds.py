import pytest

from tollctl.columns import each, fullest, limits, matched, rates, secret, short_key, targets, within
from tollctl.kinds import CONFIG_KINDS, KINDS, VIRTUAL_KEY, find_kind, name_in_manifest
from tollway.resources import kinds as resources


def test_rows_agree_with_the_kinds_of_manifests() -> None:
    rows = {kind.manifest: kind for kind in CONFIG_KINDS}
    assert rows.keys() == resources.KINDS.keys()
    for name, kind in resources.KINDS.items():
        assert (rows[name].collection, rows[name].is_in_team) == (kind.collection, kind.parent == "teams")
        given = "t/a" if kind.parent else "a"
        assert rows[name].name_of(given) == kind.resource_name("a", "t")


def test_a_kind_comes_after_those_that_it_refers_to() -> None:
    order = [kind.manifest for kind in CONFIG_KINDS]
    assert order.index("Team") < order.index("VirtualKey") and order.index("Upstream") < order.index("Route")


def test_rules_come_after_all_that_they_may_name() -> None:
    order = [kind.manifest for kind in CONFIG_KINDS]
    assert set(order[-2:]) == {"RateLimit", "Budget"}


def test_rules_read_in_a_line() -> None:
    rule = {
        "match": {"teams": [], "models": ["gpt-*", "!gpt-x"], "metadata": {"env": ["prod"]}},
        "limits": [
            {"unit": "requests", "amount": 60, "window": "60s", "burst": 0},
            {"unit": "tokens", "amount": 1000, "window": "3600s", "burst": 50},
            {"unit": "concurrent", "amount": 3, "burst": 0},
        ],
        "status": {"group": {"team": "teams/growth", "end_user": "ann"}, "spent_usd": "1.50"},
    }
    assert limits(rule) == "60 requests per 60s, 1000 tokens per 3600s (burst 50), 3 concurrent"
    assert matched(rule) == "models=gpt-*|!gpt-x, metadata.env=prod"
    assert matched({"match": {"teams": [], "metadata": {}}}) == matched({}) == "everything"
    assert fullest(rule) == "end_user=ann, team=growth"
    assert within("status", "spent_usd")(rule) == "1.50"
    assert fullest({}) == within("status", "spent_usd")({}) == ""


def test_spellings_are_told_apart() -> None:
    spellings = [spelling for kind in KINDS for spelling in kind.spellings]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("said", ["VirtualKey", "virtual-keys", "virtual_key", "KEYS", "vk"])
def test_kinds_are_found_as_people_write_them(said: str) -> None:
    assert find_kind(said) is VIRTUAL_KEY


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="teams, upstreams, routes"):
        find_kind("pods")


@pytest.mark.parametrize(
    ("given", "team"),
    [("growth/ci", None), ("ci", "growth"), ("ci", "teams/growth"), ("teams/growth/keys/ci", "growth")],
)
def test_names_of_keys(given: str, team: str | None) -> None:
    assert VIRTUAL_KEY.name_of(given, team) == "teams/growth/keys/ci"


@pytest.mark.parametrize(
    ("given", "team"), [("ci", None), ("a/b/c", None), ("search/ci", "growth"), ("../x", "growth"), ("", "a")]
)
def test_what_is_no_name_of_a_key(given: str, team: str | None) -> None:
    with pytest.raises(ValueError, match=r"no name of a key|no key of team"):
        VIRTUAL_KEY.name_of(given, team)


@pytest.mark.parametrize("given", ["../upstreams/a", "A b", "", "upstreams/a"])
def test_what_is_no_name_of_a_team(given: str) -> None:
    with pytest.raises(ValueError, match="no name of a team"):
        find_kind("team").name_of(given)


def test_names_in_manifests() -> None:
    kind, name = name_in_manifest({"kind": "VirtualKey", "metadata": {"name": "ci", "team": "growth"}})
    assert (kind, name) == (VIRTUAL_KEY, "teams/growth/keys/ci")
    with pytest.raises(ValueError, match="is not a kind"):
        name_in_manifest({"kind": "Pod", "metadata": {"name": "a"}})
    with pytest.raises(ValueError, match=r"metadata\.name"):
        name_in_manifest({"kind": "Team"})


def test_cells() -> None:
    assert each("models")({"models": ["a", "b", "c", "d"]}) == "a, b, c, d"
    assert each("models")({"models": ["a", "b", "c", "d", "e", "f"]}) == "a, b, c, d, +2"
    assert each("labels")({"labels": {"b": "2", "a": "1"}}) == "a=1, b=2"
    assert short_key({"name": "teams/growth/keys/ci"}) == "growth/ci"
    assert secret({"secret": {"ref": "env:A"}}) == "env:A"
    assert secret({"secret": {"ref": "", "fingerprint": "f"}}) == "stored"
    assert secret({}) == ""
    shown = targets(
        {
            "targets": [
                {"upstream": "upstreams/a", "model": "m", "weight": 1, "priority": 0},
                {"upstream": "upstreams/b", "model": "n", "weight": 0, "priority": 2},
            ]
        }
    )
    assert shown == "a/m, b/n (weight 0, priority 2)"
    shown = rates(
        {
            "rates": [
                {"meter": "input", "price_usd": "2.50", "per": 1_000_000},
                {"meter": "request", "price_usd": "0.01", "per": 1},
                {"meter": "output", "price_usd": "9", "per": 1_000_000, "above_input_tokens": 200_000},
            ]
        }
    )
    assert shown == "input 2.50, request 0.01 per 1, output 9 above 200000"
