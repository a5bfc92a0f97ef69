from typing import Any

import pytest

from tests.unit.tollway.resources.rules import read_rate_limit
from tollway.admin.v1.rate_limits_pb2 import RateLimit
from tollway.admin.v1.rules_pb2 import ENFORCEMENT_MODE_ENFORCE, ON_UNAVAILABLE_LOCAL_SHARE
from tollway.config.v1 import resources_pb2 as machine
from tollway.resources.rate_limits import project_rate_limit

SLOTS = {"unit": "concurrent", "amount": 3}


def limit(**fields: Any) -> list[dict[str, Any]]:
    return [{"unit": "tokens", "amount": 1000, "window": "60s"} | fields]


def generation(rule: RateLimit) -> str:
    return project_rate_limit(rule, 1).rate_limit.generation


def test_a_rate_limit_is_enforced_and_shared_locally_unless_it_says_otherwise() -> None:
    rule, wrong = read_rate_limit(limits=[*limit(window="31d", burst=5), SLOTS], per=["team"], match={"teams": ["a"]})
    assert wrong == {}
    assert (rule.mode, rule.on_unavailable) == (ENFORCEMENT_MODE_ENFORCE, ON_UNAVAILABLE_LOCAL_SHARE)
    form = project_rate_limit(rule, 7)
    assert (form.name, form.revision) == ("rateLimits/r", 7)
    tokens, slots = form.rate_limit.limits
    assert (tokens.unit, tokens.amount, tokens.window_ms, tokens.burst) == (
        machine.LIMIT_UNIT_TOKENS,
        1000,
        31 * 86_400_000,
        5,
    )
    assert (slots.unit, slots.amount, slots.window_ms, slots.burst) == (machine.LIMIT_UNIT_CONCURRENT, 3, 0, 0)
    assert list(form.rate_limit.match.teams) == ["a"]


@pytest.mark.parametrize(
    ("limits", "field", "text"),
    [
        ([], "limits", "from 1 to 16"),
        (limit() * 17, "limits", "from 1 to 16"),
        (limit(unit="dollars"), "limits[0].unit", "requests, tokens, input_tokens, output_tokens, concurrent"),
        ([{"amount": 1, "window": "1s"}], "limits[0].unit", "is required"),
        (limit(amount=0), "limits[0].amount", "from 1 to"),
        (limit(amount=-1), "limits[0].amount", "from 1 to"),
        (limit(amount=1 << 60), "limits[0].amount", "from 1 to"),
        ([{"unit": "requests", "amount": 1}], "limits[0].window", 'is required, e.g. "60s"'),
        (limit(window="0.5s"), "limits[0].window", 'from "1s" to "31d"'),
        (limit(window="32d"), "limits[0].window", 'from "1s" to "31d"'),
        (limit(window="1.0005s"), "limits[0].window", "whole milliseconds"),
        (limit(burst=-1), "limits[0].burst", "from 1 to"),
        ([SLOTS | {"window": "1s"}], "limits[0].window", "left out"),
        ([SLOTS | {"burst": 1}], "limits[0].burst", "left out"),
        ([*limit(), *limit(amount=5)], "limits[1]", "keep the smaller one"),
    ],
)
def test_what_is_wrong_with_limits(limits: list[dict[str, Any]], field: str, text: str) -> None:
    _, wrong = read_rate_limit(limits=limits)
    assert text in wrong[field]


def test_amounts_keep_the_generation_and_what_is_counted_does_not() -> None:
    rule, _ = read_rate_limit(limits=limit(), match={"models": ["a", "b"]})
    same = [
        read_rate_limit(limits=limit(amount=7, burst=9), match={"models": ["b", "a"]}, mode="audit")[0],
        read_rate_limit(limits=limit(), match={"models": ["a", "b"]}, on_unavailable="deny")[0],
    ]
    assert {generation(other) for other in same} == {generation(rule)}
    others = [
        read_rate_limit(limits=limit(window="61s"), match={"models": ["a", "b"]})[0],
        read_rate_limit(limits=limit(unit="requests"), match={"models": ["a", "b"]})[0],
        read_rate_limit(limits=limit(), match={"models": ["a"]})[0],
        read_rate_limit(limits=limit(), match={"models": ["a", "b"]}, per=["team"])[0],
        read_rate_limit(limits=[*limit(), SLOTS], match={"models": ["a", "b"]})[0],
    ]
    assert len({generation(other) for other in [rule, *others]}) == 6
    rule.since_revision = 9
    assert generation(rule) != generation(same[0])
