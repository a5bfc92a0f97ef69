import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.call import Call, Endpoint, Plan, Principal
from dataplane.errors import ModelNotAllowed, ModelNotFound, NoTargetAvailable
from dataplane.routing.planner import plan
from dataplane.snapshot import Route, RouteTimeouts, Secret, Snapshot, Strategy, Target, Upstream, VirtualKey

CHAT = Endpoint("chat_completions", "/v1/chat/completions", "chat", can_stream=True)


def make_upstream(upstream_id: str, admits: str | None = None) -> Upstream:
    return Upstream(
        name=f"upstreams/{upstream_id}",
        id=upstream_id,
        provider="sim",
        base_url="http://sim",
        region="",
        headers={},
        listed_models=(),
        admitted_models=None if admits is None else re.compile(admits),
        options={},
        secret=Secret(""),
    )


def make_principal(allows: str | None = None) -> Principal:
    pattern = None if allows is None else re.compile(allows)
    return Principal(VirtualKey("teams/a/keys/k", "teams/a", "teams/a", pattern, {}, 0, revoked=False))


def make_call(snapshot: Snapshot, model: str, timeout_s: float | None = None) -> Call:
    return Call(
        request_id="req_1",
        client_request_id="",
        endpoint=CHAT,
        snapshot=snapshot,
        body={},
        model=model,
        stream=False,
        wants_usage=False,
        end_user="",
        metadata={},
        forwarded_headers={},
        timeout_s=timeout_s,
        start_time_us=0,
        start_s=0.0,
        body_wait_s=0.0,
    )


def plan_route(route: Route, draw: random.Random, timeout_s: float | None = None) -> Plan:
    return plan(make_call(Snapshot(routes={route.model: route}), route.model, timeout_s), make_principal(), draw.random)


UPSTREAMS = [make_upstream(f"u{n}") for n in range(6)]
TARGETS = st.lists(
    st.builds(
        Target,
        upstream=st.sampled_from(UPSTREAMS),
        model=st.uuids().map(str),
        weight=st.integers(0, 5),
        priority=st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda target: target.model,
)


def make_route(
    targets: list[Target], strategy: Strategy = Strategy.WEIGHTED, *, max_attempts: int = 3, fallback: bool = True
) -> Route:
    ordered = tuple(sorted(targets, key=lambda target: target.priority))
    return Route("routes/m", "m", strategy, ordered, max_attempts=max_attempts, fallback=fallback)


@given(TARGETS, st.sampled_from(Strategy), st.integers(1, 10), st.integers(0, 2**32))
def test_every_target_is_tried_once_before_any_is_tried_again(
    targets: list[Target], strategy: Strategy, max_attempts: int, seed: int
) -> None:
    route = make_route(targets, strategy, max_attempts=max_attempts)
    if all(target.weight == 0 for target in targets):
        with pytest.raises(NoTargetAvailable, match="every weight is 0"):
            plan_route(route, random.Random(seed))
        return
    attempts = plan_route(route, random.Random(seed)).targets
    assert len(attempts) == max_attempts
    first_round = attempts[: len(targets)]
    assert len({target.model for target in first_round}) == len(first_round)
    for position, target in enumerate(attempts):
        assert target is attempts[position % len(targets)]


@given(TARGETS.filter(lambda targets: any(t.weight for t in targets)), st.sampled_from(Strategy), st.integers(0, 2**32))
def test_the_first_pick_has_weight_and_the_lowest_priority_that_has_any(
    targets: list[Target], strategy: Strategy, seed: int
) -> None:
    route = make_route(targets, strategy, max_attempts=len(targets))
    first, *others = plan_route(route, random.Random(seed)).targets
    assert first.weight > 0
    assert first.priority == min(target.priority for target in targets if target.weight > 0)
    assert [t.priority for t in others] == sorted(t.priority for t in others)
    for priority in {target.priority for target in others}:
        weights = [target.weight > 0 for target in others if target.priority == priority]
        if strategy is Strategy.WEIGHTED:
            assert weights == sorted(weights, reverse=True), "targets without weight come last in their priority"


@given(TARGETS.filter(lambda targets: any(t.weight for t in targets)), st.integers(0, 2**32), st.integers(1, 5))
def test_without_fallback_only_the_first_pick_is_repeated(targets: list[Target], seed: int, max_attempts: int) -> None:
    route = make_route(targets, max_attempts=max_attempts, fallback=False)
    attempts = plan_route(route, random.Random(seed)).targets
    assert len(attempts) == max_attempts
    assert len({target.model for target in attempts}) == 1
    assert attempts[0].weight > 0


def test_the_priority_strategy_takes_targets_as_written() -> None:
    targets = [Target(UPSTREAMS[n], f"m{n}", weight=1, priority=priority) for n, priority in enumerate((0, 0, 1, 2))]
    route = make_route(targets, Strategy.PRIORITY, max_attempts=4)
    assert list(plan_route(route, random.Random(1)).targets) == targets


def test_shares_of_first_and_second_picks_follow_the_weights() -> None:
    targets = [Target(UPSTREAMS[0], "a", 6), Target(UPSTREAMS[1], "b", 3), Target(UPSTREAMS[2], "c", 1)]
    draw = random.Random(7)
    plans = [plan_route(make_route(targets), draw).targets for _ in range(6000)]
    firsts = Counter(attempts[0].model for attempts in plans)
    assert firsts["a"] == pytest.approx(3600, abs=200)
    assert firsts["b"] == pytest.approx(1800, abs=200)
    assert firsts["c"] == pytest.approx(600, abs=150)
    seconds = Counter(attempts[1].model for attempts in plans if attempts[0].model == "a")
    assert seconds["b"] / firsts["a"] == pytest.approx(0.75, abs=0.05)


def test_a_draw_at_the_very_end_of_the_range_still_picks() -> None:
    targets = [Target(UPSTREAMS[0], "a", 1), Target(UPSTREAMS[1], "b", 1)]
    route = make_route(targets)
    call = make_call(Snapshot(routes={"m": route}), "m")
    assert plan(call, make_principal(), lambda: 0.9999999999999999).targets[0].model == "b"
    assert plan(call, make_principal(), lambda: 0.0).targets[0].model == "a"


def test_a_direct_address_repeats_its_one_target() -> None:
    snapshot = Snapshot(upstreams={"a": make_upstream("a")})
    found = plan(make_call(snapshot, "a/org/model-1"), make_principal(), random.random)
    assert found.route == ""
    assert found.targets == (Target(snapshot.upstreams["a"], "org/model-1"),) * 3


def test_a_route_wins_over_a_direct_address() -> None:
    route = Route("routes/r", "a/x", Strategy.WEIGHTED, (Target(UPSTREAMS[0], "y"),), max_attempts=1)
    snapshot = Snapshot(upstreams={"a": make_upstream("a")}, routes={"a/x": route})
    found = plan(make_call(snapshot, "a/x"), make_principal(), random.random)
    assert (found.route, [target.model for target in found.targets]) == ("routes/r", ["y"])


@pytest.mark.parametrize("model", ["nothing", "b/x", "a/", "a", "/x", "a/secret", "", "A/x"])
def test_an_unknown_model_is_not_found_and_the_message_says_where_to_look(model: str) -> None:
    snapshot = Snapshot(upstreams={"a": make_upstream("a", admits="x|y.*")})
    with pytest.raises(ModelNotFound) as caught:
        plan(make_call(snapshot, model), make_principal(), random.random)
    assert f"'{model}'" in caught.value.message
    assert "GET /v1/models" in caught.value.message
    assert caught.value.param == "model"


@pytest.mark.parametrize("model", ["m", "a/x"])
def test_a_model_that_exists_but_is_not_allowed_is_refused_as_such(model: str) -> None:
    route = Route("routes/m", "m", Strategy.WEIGHTED, (Target(UPSTREAMS[0], "y"),))
    snapshot = Snapshot(upstreams={"a": make_upstream("a")}, routes={"m": route})
    with pytest.raises(ModelNotAllowed, match="teams/a/keys/k"):
        plan(make_call(snapshot, model), make_principal(allows="other"), random.random)
    with pytest.raises(ModelNotFound):
        plan(make_call(snapshot, "no-such"), make_principal(allows="other"), random.random)


@pytest.mark.parametrize(
    ("timeouts", "client_s", "expected"),
    [
        (RouteTimeouts(), None, (600.0, 60.0, 60.0)),
        (RouteTimeouts(), 5.0, (5.0, 60.0, 60.0)),
        (RouteTimeouts(), 900.0, (600.0, 60.0, 60.0)),
        (RouteTimeouts(total_s=10.0, idle_s=2.0), None, (10.0, 60.0, 2.0)),
        (RouteTimeouts(total_s=10.0, first_byte_s=3.0), 20.0, (10.0, 3.0, 60.0)),
        (RouteTimeouts(total_s=1200.0), 900.0, (900.0, 60.0, 60.0)),
    ],
)
def test_the_lower_of_route_and_client_timeout_holds(
    timeouts: RouteTimeouts, client_s: float | None, expected: tuple[float, float, float]
) -> None:
    route = Route("routes/m", "m", Strategy.WEIGHTED, (Target(UPSTREAMS[0], "y"),), timeouts=timeouts)
    deadlines = plan_route(route, random.Random(1), client_s).deadlines
    assert (deadlines.total_s, deadlines.first_byte_s, deadlines.idle_s) == expected
