"""However configuration comes, the same configuration ends up in force."""

from collections.abc import Mapping
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.config.compile import apply
from dataplane.config.state import CompiledState, ConfigDelta, Cursor
from dataplane.snapshot import Route, Snapshot
from tests.unit.dataplane.config.machine import (
    book,
    budget,
    key,
    price,
    rate_limit,
    route,
    upstream,
    upstream_secret,
)
from tollway.config.v1.resources_pb2 import Match, ModelMatch, Resource

NAMES = ("a", "b", "c")
BAD_PROVIDER = st.sampled_from(["sim", "sim", "sim", "telepathy", "openai"])


@st.composite
def keys(draw: st.DrawFn) -> Resource:
    name = draw(st.sampled_from(NAMES))
    numbers = draw(st.sets(st.integers(1, 3), max_size=2))
    form = key(name, *(NAMES.index(name) * 10 + n for n in numbers), revoked=draw(st.booleans()))
    if draw(st.booleans()):
        return form
    form.virtual_key.digests.add(digest=draw(st.sampled_from([b"short", bytes(31) + bytes([99 + NAMES.index(name)])])))
    return form


@st.composite
def routes(draw: st.DrawFn) -> Resource:
    # A model per route: two for the same one are settled by who came first, which is the point of another test.
    name = draw(st.sampled_from(NAMES))
    model = f"{name}{draw(st.integers(1, 2))}"
    targets = draw(st.lists(st.sampled_from(NAMES), max_size=2))
    return route(name, *targets, model=model, attempts=draw(st.integers(1, 2)))


MATCHES = st.builds(Match, models=st.sampled_from([[], ["m*"], ["m", "!n"]]), teams=st.sampled_from([[], ["t"]]))
PER = st.sampled_from([[], ["team"], ["upstream"], ["planet"]])

FORMS = st.one_of(
    keys(),
    routes(),
    st.builds(upstream, st.sampled_from(NAMES), region=st.sampled_from(["", "eu"]), provider=BAD_PROVIDER),
    st.builds(upstream_secret, st.sampled_from(NAMES), st.sampled_from(["s1", "s2"])),
    st.builds(price, st.sampled_from(NAMES), st.sampled_from(["x*", "*"]), regex=st.sampled_from(["", "("])),
    st.builds(
        lambda name, glob, start: book((f"sim/{glob}", ModelMatch(glob=glob)), name=name, starts=[start]),
        st.sampled_from(NAMES),
        st.sampled_from(["x*", "*"]),
        st.integers(0, 2),
    ),
    st.builds(rate_limit, st.sampled_from(NAMES), MATCHES, amount=st.sampled_from([0, 5, 6]), per=PER),
    st.builds(budget, st.sampled_from(NAMES), MATCHES, nano_usd=st.sampled_from([0, 5, 6]), per=PER),
)
CONFIGS = st.lists(FORMS, max_size=14).map(lambda forms: {form.name: form for form in forms})
CHANGES = st.lists(st.tuples(FORMS, st.booleans()), max_size=14)


def compile_whole(config: Mapping[str, Resource]) -> CompiledState:
    return apply(CompiledState(), ConfigDelta(Cursor("e", 1), config, reset=True))


def apply_history(history: list[tuple[Resource, bool]]) -> tuple[CompiledState, dict[str, Resource]]:
    """Each change alone, an upsert or a removal; and what stands after all of them."""
    state = CompiledState()
    config: dict[str, Resource] = {}
    for form, removes in history:
        if removes:
            config.pop(form.name, None)
            state = apply(state, ConfigDelta(Cursor("e", 1), {}, frozenset({form.name})))
        else:
            config[form.name] = form
            state = apply(state, ConfigDelta(Cursor("e", 1), {form.name: form}))
    return state, config


def shown(snapshot: Snapshot) -> tuple[object, ...]:
    prices = tuple(snapshot.prices.prices), tuple(snapshot.prices.books)
    orders = list(snapshot.routes), list(snapshot.upstreams)
    return snapshot.keys, snapshot.upstreams, snapshot.routes, orders, prices, snapshot.limits


@settings(max_examples=120)
@given(CONFIGS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_split_into_changes_gives_the_same(
    config: dict[str, Resource], random: Random, pieces: int
) -> None:
    names = list(config)
    random.shuffle(names)
    state = CompiledState()
    for piece in range(pieces):
        upserts = {name: config[name] for name in names[piece::pieces]}
        state = apply(state, ConfigDelta(Cursor("e", 1), upserts))
    whole = compile_whole(config)
    assert shown(state.snapshot) == shown(whole.snapshot)
    assert state.rejections == whole.rejections


@settings(max_examples=120)
@given(CHANGES)
def test_after_any_history_all_that_compiles_alone_is_in_force(history: list[tuple[Resource, bool]]) -> None:
    state, config = apply_history(history)
    whole = compile_whole(config)
    rejected = {rejection.name for rejection in whole.rejections}
    in_force = {digest: entry for digest, entry in state.snapshot.keys.items() if entry.key.name not in rejected}
    assert in_force == whole.snapshot.keys
    for name, found in whole.snapshot.upstreams.items():
        assert state.snapshot.upstreams[name] == found
    by_name: dict[str, Route] = {found.name: found for found in state.snapshot.routes.values()}
    for found_route in whole.snapshot.routes.values():
        assert by_name[found_route.name] == found_route
    assert set(whole.snapshot.prices.prices) <= set(state.snapshot.prices.prices)
    assert whole.snapshot.limits.rules.items() <= state.snapshot.limits.rules.items()
    assert {r.name for r in state.rejections} <= {r.name for r in whole.rejections}


@settings(max_examples=120)
@given(CHANGES)
def test_nothing_that_was_removed_is_in_force_after_any_history(history: list[tuple[Resource, bool]]) -> None:
    state, config = apply_history(history)
    snapshot = state.snapshot
    in_force = [entry.key.name for entry in snapshot.keys.values()]
    in_force += [found.name for found in snapshot.upstreams.values()]
    in_force += [found.name for found in snapshot.routes.values()]
    in_force += [found.name for found in snapshot.prices.prices]
    in_force += [found.name for found in snapshot.prices.books]
    in_force += list(snapshot.limits.rules)
    assert set(in_force) <= config.keys()
    upstreams = list(snapshot.upstreams.values())
    for found_route in snapshot.routes.values():
        for target in found_route.targets:
            assert any(target.upstream is found for found in upstreams)


@settings(max_examples=80)
@given(CHANGES)
def test_the_same_change_again_changes_nothing(history: list[tuple[Resource, bool]]) -> None:
    state, config = apply_history(history)
    again = apply(state, ConfigDelta(Cursor("e", 1), config))
    assert shown(again.snapshot) == shown(state.snapshot)
    assert again.rejections == state.rejections


@settings(max_examples=80)
@given(CHANGES, CONFIGS)
def test_a_reset_leaves_nothing_of_before_but_last_good_forms(
    history: list[tuple[Resource, bool]], config: dict[str, Resource]
) -> None:
    state, _ = apply_history(history)
    removed = frozenset(
        {*state.keys, *state.upstreams, *state.upstream_secrets, *state.routes, *state.prices, *state.books}
        | state.snapshot.limits.rules.keys()
    )
    change = ConfigDelta(Cursor("e", 2), config, removed - config.keys())
    reset = apply(state, ConfigDelta(Cursor("e", 2), config, reset=True))
    assert shown(reset.snapshot) == shown(apply(state, change).snapshot)
    fresh = apply(state, ConfigDelta(Cursor("f", 2), config, reset=True))
    assert shown(fresh.snapshot) == shown(compile_whole(config).snapshot)
