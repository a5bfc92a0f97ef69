"""What people and programs are told of a campaign."""

import json
from dataclasses import replace

from tests.chaos.campaign import Plan, Report
from tests.chaos.checker import judge
from tests.chaos.report import render_json, render_text
from tests.unit.chaos.planting import ENTRIES, evidence

PLAN = Plan("T9", "something goes wrong", (), 10.0, 30.0, is_nothing_failed=False)
GOOD = Report(
    PLAN, 5, judge(evidence()), {"load s": 3.5}, {"dataplane-1": (60, 61)}, {"good": 3, "broken": 1}, {"tollway": "1"}
)
BAD = replace(GOOD, verdicts=judge(evidence((*ENTRIES, *ENTRIES * 12))))


def test_a_person_sees_one_line_for_each_invariant_and_what_broke_it() -> None:
    text = render_text(GOOD)
    assert text.startswith("T9: something goes wrong (seed 5)\n")
    assert "dataplane-1 60 -> 61" in text
    assert [line.split()[:2] for line in text.splitlines()[3:]] == [[f"L{n}", "holds:"] for n in (1, 2, 3, 5)]
    lines = render_text(BAD).splitlines()
    assert any(line.strip().startswith("L2") and "VIOLATED" in line for line in lines)
    assert any(line.strip().startswith("and ") and line.endswith(" more") for line in lines)


def test_a_program_sees_all_of_it() -> None:
    told = json.loads(json.dumps(render_json([GOOD, BAD])))
    assert (told["holds"], [run["holds"] for run in told["runs"]]) == (False, [True, False])
    assert told["versions"] == {"tollway": "1"}
    assert told["runs"][0]["seed"] == 5
    violations = {v["invariant"]: v["violations"] for v in told["runs"][1]["verdicts"]}
    assert len(violations["L2"]) > 10


def test_a_verdict_that_could_not_be_reached_in_full_says_so() -> None:
    report = replace(GOOD, verdicts=judge(evidence(producers=None)))
    assert "in part: producers and dead letters need --database-url" in render_text(report)
