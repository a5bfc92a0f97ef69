from dataclasses import replace

import pytest

from dataplane.config.compile import apply
from dataplane.config.state import CompiledState, ConfigDelta, Unresolved
from dataplane.snapshot import Secret, Strategy
from tests.unit.dataplane.config.machine import (
    book,
    delta,
    digest,
    key,
    pepper,
    price,
    route,
    upstream,
    upstream_secret,
)
from tollway.config.v1 import resources_pb2 as machine

EMPTY = CompiledState()


def start(*upserts: machine.Resource) -> CompiledState:
    return apply(EMPTY, delta(*upserts, reset=True))


def reasons(state: CompiledState) -> dict[str, str]:
    return {rejection.name: rejection.reason for rejection in state.rejections}


def test_everything_finds_its_place_in_the_snapshot() -> None:
    state = start(
        pepper(),
        machine.Resource(name="teams/t", team=machine.Team()),
        key("k", 1, 2, models=["gpt-*"]),
        upstream("a", models=["m1", "org/*"]),
        upstream_secret("a", "s3cret"),
        route("r", "a", model="gpt-x"),
        price("p", "m*"),
    )
    assert state.rejections == []
    snapshot = state.snapshot
    assert (snapshot.epoch, snapshot.revision, snapshot.pepper) == ("e", 1, b"pepper")
    assert set(snapshot.keys) == {digest(1), digest(2)}
    entry = snapshot.keys[digest(1)]
    assert (entry.key.name, entry.key.team) == ("teams/t/keys/k", "teams/t")
    assert entry.key.allows("gpt-4")
    assert not entry.key.allows("o3")
    found = snapshot.upstreams["a"]
    assert (found.name, found.base_url, found.listed_models) == ("upstreams/a", "http://sim/v1", ("m1",))
    assert (found.secret.reveal(), found.admits("org/x"), found.admits("other")) == ("s3cret", True, False)
    assert snapshot.routes["gpt-x"].targets[0].upstream is found
    assert (snapshot.routes["gpt-x"].strategy, snapshot.routes["gpt-x"].max_attempts) == (Strategy.WEIGHTED, 3)
    assert snapshot.routes["gpt-x"].fallback
    price_found = snapshot.prices.find("sim", "m1", 0)
    assert price_found is not None
    assert price_found.name == "prices/p"


def test_a_bad_key_is_rejected_alone_and_its_last_good_form_stays() -> None:
    state = start(key("good", 1), key("k", 2))
    bad = machine.Resource(
        name="teams/t/keys/k",
        revision=9,
        virtual_key=machine.VirtualKey(team="teams/t", digests=[machine.KeyDigest(digest=b"short")]),
    )
    after = apply(state, delta(bad, key("other", 3), revision=9))
    assert [(r.name, r.revision) for r in after.rejections] == [("teams/t/keys/k", 9)]
    assert set(after.snapshot.keys) == {digest(1), digest(2), digest(3)}
    mended = apply(after, delta(key("k", 4), revision=10))
    assert mended.rejections == []
    assert set(mended.snapshot.keys) == {digest(1), digest(3), digest(4)}


def test_a_revocation_keeps_the_digest_so_that_it_can_be_named() -> None:
    state = apply(start(key("k", 1)), delta(key("k", 1, revoked=True), revision=2))
    assert state.snapshot.keys[digest(1)].key.revoked


def test_a_removed_key_is_unknown() -> None:
    state = apply(start(key("k", 1), key("l", 2)), delta(removals=["teams/t/keys/k"], revision=2))
    assert set(state.snapshot.keys) == {digest(2)}


def test_a_digest_belongs_to_one_key_and_may_move_within_a_change() -> None:
    state = start(key("a", 1))
    clash = apply(state, delta(key("b", 1), revision=2))
    assert reasons(clash) == {"teams/t/keys/b": "has a digest that another key has"}
    assert clash.snapshot.keys[digest(1)].key.name == "teams/t/keys/a"
    moved = apply(clash, delta(key("b", 1), key("a", 5), revision=3))
    assert moved.rejections == []
    assert moved.snapshot.keys[digest(1)].key.name == "teams/t/keys/b"
    freed = apply(clash, delta(removals=["teams/t/keys/a"], revision=3))
    assert freed.rejections == []
    assert freed.snapshot.keys[digest(1)].key.name == "teams/t/keys/b"


def test_indexes_of_kinds_that_did_not_change_are_shared() -> None:
    state = start(key("k", 1), upstream("a"), route("r", "a"), price("p", "*"))
    after = apply(state, delta(key("k", 2), revision=2))
    assert after.snapshot.routes is state.snapshot.routes
    assert after.snapshot.upstreams is state.snapshot.upstreams
    assert after.snapshot.prices is state.snapshot.prices
    rerouted = apply(after, delta(route("r", "a", attempts=1), revision=3))
    assert rerouted.snapshot.keys is after.snapshot.keys
    assert set(state.snapshot.keys) == {digest(1)}, "what a call pinned never changes"


def test_a_route_waits_for_its_upstream() -> None:
    state = start(route("r", "a"))
    assert reasons(state) == {"routes/r": 'its target "upstreams/a" does not exist, or is rejected itself'}
    assert state.snapshot.routes == {}
    after = apply(state, delta(upstream("a"), revision=2))
    assert after.rejections == []
    assert "r" in after.snapshot.routes


def test_a_route_to_a_removed_upstream_gets_no_call() -> None:
    state = start(upstream("a"), upstream("b"), route("r", "a"), route("s", "b"))
    after = apply(state, delta(removals=["upstreams/a"], revision=2))
    assert set(after.snapshot.routes) == {"s"}
    assert list(reasons(after)) == ["routes/r"]
    again = apply(after, delta(upstream("a"), revision=3))
    assert set(again.snapshot.routes) == {"r", "s"}
    assert again.rejections == []


def test_a_route_whose_new_form_does_not_compile_keeps_its_old_one_with_the_newest_upstream() -> None:
    state = start(upstream("a"), route("r", "a"))
    after = apply(state, delta(route("r", "a", "missing"), revision=2))
    assert list(reasons(after)) == ["routes/r"]
    assert len(after.snapshot.routes["r"].targets) == 1
    moved = apply(after, delta(upstream("a", region="eu"), revision=3))
    assert moved.snapshot.routes["r"].targets[0].upstream.region == "eu"
    assert list(reasons(moved)) == ["routes/r"]
    gone = apply(moved, delta(removals=["upstreams/a"], revision=4))
    assert gone.snapshot.routes == {}


def test_a_model_has_one_route_and_the_one_in_force_stays() -> None:
    state = start(upstream("a"), route("z", "a", model="m"))
    after = apply(state, delta(route("b", "a", model="m"), revision=2))
    assert reasons(after) == {"routes/b": 'its model "m" is served by routes/z already'}
    changed = apply(after, delta(route("z", "a", model="m", attempts=1), revision=3))
    assert changed.snapshot.routes["m"].name == "routes/z"
    renamed = apply(changed, delta(route("z", "a", model="n"), revision=4))
    assert renamed.rejections == []
    assert {model: found.name for model, found in renamed.snapshot.routes.items()} == {"m": "routes/b", "n": "routes/z"}


def test_two_routes_may_swap_models_in_one_change() -> None:
    state = start(upstream("a"), route("x", "a", model="m"), route("y", "a", model="n"))
    after = apply(state, delta(route("x", "a", model="n"), route("y", "a", model="m"), revision=2))
    assert after.rejections == []
    assert {model: found.name for model, found in after.snapshot.routes.items()} == {"m": "routes/y", "n": "routes/x"}


def test_targets_are_in_order_of_priority_then_as_written() -> None:
    form = machine.Resource(
        name="routes/r",
        route=machine.Route(
            model="r",
            strategy=machine.ROUTE_STRATEGY_PRIORITY,
            targets=[
                machine.Target(upstream="upstreams/a", model=model, weight=1, priority=priority)
                for model, priority in (("x", 2), ("y", 0), ("z", 2), ("w", 1))
            ],
            fallback=machine.FallbackPolicy(enabled=False),
            timeouts=machine.Timeouts(total_ms=1500),
        ),
    )
    found = start(upstream("a"), form).snapshot.routes["r"]
    assert [target.model for target in found.targets] == ["y", "w", "x", "z"]
    assert (found.strategy, found.fallback) == (Strategy.PRIORITY, False)
    assert (found.timeouts.total_s, found.timeouts.idle_s) == (1.5, None)


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (upstream("x", provider="telepathy"), "telepathy"),
        (upstream("x", provider="openai"), "no secret"),
        (machine.Resource(name="upstreams/x", upstream=machine.Upstream(provider="sim")), "base_url"),
        (upstream("x", secret_ref="env:NOWHERE"), "env:NOWHERE was not read"),
        (route("x"), "no targets"),
        (price("x", "", regex="("), "regular expression"),
        (machine.Resource(name="limits/x"), "kind"),
    ],
)
def test_what_does_not_compile_says_why(form: machine.Resource, says: str) -> None:
    state = start(form, key("k", 1))
    assert says in reasons(state)[form.name]
    assert set(state.snapshot.keys) == {digest(1)}


def test_a_provider_of_its_own_address_needs_a_secret_and_brings_its_base_url() -> None:
    state = start(upstream("o", provider="openai"), upstream_secret("o", "sk-1"))
    assert state.snapshot.upstreams["o"].base_url == "https://api.openai.com/v1"


@pytest.mark.parametrize("base_url", ["HTTPS://GPU.Example/V1", "https://GPU.example/V1/", "https://gpu.example/V1"])
def test_a_base_url_counts_however_its_scheme_and_host_are_written(base_url: str) -> None:
    form = upstream("a")
    form.upstream.base_url = base_url
    assert start(form).snapshot.upstreams["a"].base_url == "https://gpu.example/V1"


def test_a_secret_reference_is_looked_up_where_it_was_read() -> None:
    change = delta(upstream("a", secret_ref="env:A"), route("r", "a"), reset=True)
    unresolved = apply(EMPTY, replace(change, ref_secrets={"env:A": Unresolved("environment variable A is not set")}))
    assert "environment variable A is not set" in reasons(unresolved)["upstreams/a"]
    assert unresolved.secret_refs == {"env:A"}
    found = apply(unresolved, ConfigDelta(unresolved.cursor, ref_secrets={"env:A": Secret("v1")}))
    assert found.rejections == []
    assert found.snapshot.routes["r"].targets[0].upstream.secret.reveal() == "v1"
    rotated = apply(found, ConfigDelta(found.cursor, ref_secrets={"env:A": Secret("v2")}))
    assert rotated.snapshot.routes["r"].targets[0].upstream.secret.reveal() == "v2"
    assert rotated.cursor == found.cursor


def test_an_upstream_whose_new_secret_cannot_be_had_keeps_the_old_one() -> None:
    state = start(upstream("a"), upstream_secret("a", "old"), route("r", "a"))
    change = delta(upstream("a", secret_ref="env:A"), removals=["upstreams/a/secret"], revision=2)
    after = apply(state, replace(change, ref_secrets={"env:A": Unresolved("environment variable A is not set")}))
    assert list(reasons(after)) == ["upstreams/a"]
    assert after.snapshot.routes["r"].targets[0].upstream.secret.reveal() == "old"


def test_secrets_show_nowhere() -> None:
    state = start(pepper(b"canary-pepper"), upstream("a"), upstream_secret("a", "canary-secret"), upstream("b/c"))
    change = delta(upstream_secret("a", "canary-secret"), pepper(b"canary-pepper"))
    assert "canary" not in repr(state) + repr(state.snapshot) + repr(change) + repr(state.rejections)


def test_a_bad_row_of_the_book_is_left_out_alone() -> None:
    state = start(
        book(
            ("sim/bad", machine.ModelMatch(regex="(")),
            ("sim/x", machine.ModelMatch(exact="x")),
            ("sim/any", machine.ModelMatch(glob="*")),
        )
    )
    assert "row sim/bad" in reasons(state)["priceBooks/default"]
    found = state.snapshot.prices.find("sim", "x", 0)
    assert found is not None
    assert (found.name, found.revision) == ("priceBooks/default/sim/x", 3)
    mended = apply(state, delta(book(("sim/any", machine.ModelMatch(glob="*"))), revision=2))
    assert mended.rejections == []


def test_an_admins_price_wins_over_the_book() -> None:
    state = start(book(("sim/x", machine.ModelMatch(exact="x"))), price("mine", "*", 5))
    found = state.snapshot.prices.find("sim", "x", 0)
    assert found is not None
    assert found.name == "prices/mine"
    after = apply(state, delta(removals=["prices/mine"], revision=2))
    found = after.snapshot.prices.find("sim", "x", 0)
    assert found is not None
    assert found.name == "priceBooks/default/sim/x"


def test_the_book_that_took_effect_last_holds_and_one_that_left_is_gone() -> None:
    row = ("sim/x", machine.ModelMatch(exact="x"))
    state = start(book(row, name="old"), book(row, name="new", starts=[1000], nano_usd=9))
    for time_ms, name in ((0, "old"), (999, "old"), (1000, "new"), (5000, "new")):
        found = state.snapshot.prices.find("sim", "x", time_ms)
        assert found is not None
        assert found.name == f"priceBooks/{name}/sim/x"
    after = apply(state, delta(removals=["priceBooks/old"], revision=2))
    assert after.snapshot.prices.find("sim", "x", 999) is None
    assert [found.name for found in after.snapshot.prices.books] == ["priceBooks/new"]


def test_a_price_without_rates_and_discount_is_rejected() -> None:
    form = price("p", "*")
    del form.price.rates[:]
    assert "neither rates nor a discount" in reasons(start(form))["prices/p"]


def test_an_unknown_meter_is_rejected() -> None:
    form = price("p", "*")
    form.price.rates[0].meter = 99  # type: ignore[assignment]
    assert "meter 99" in reasons(start(form))["prices/p"]


def test_a_reset_of_the_same_database_keeps_the_last_good_form_of_what_it_names() -> None:
    state = start(key("k", 1), key("gone", 2), upstream("a"))
    bad = machine.Resource(name="teams/t/keys/k", virtual_key=machine.VirtualKey(team=""))
    after = apply(state, delta(bad, reset=True, revision=5))
    assert set(after.snapshot.keys) == {digest(1)}
    assert after.snapshot.upstreams == {}
    assert list(reasons(after)) == ["teams/t/keys/k"]


def test_a_reset_of_another_database_keeps_nothing() -> None:
    state = start(key("k", 1), upstream("a"))
    bad = machine.Resource(name="teams/t/keys/k", virtual_key=machine.VirtualKey(team=""))
    after = apply(state, delta(bad, reset=True, epoch="other"))
    assert after.snapshot.keys == {}
    assert after.cursor.epoch == "other"


def test_a_rejection_goes_with_its_resource() -> None:
    state = start(route("r", "a"))
    assert apply(state, delta(removals=["routes/r"], revision=2)).rejections == []
