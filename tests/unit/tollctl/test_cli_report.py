import re
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tollctl.commands.chat import render_receipt
from tollctl.conversation import Receipt
from tollctl.records import render_attempts
from tollctl.render import render_table, render_yaml
from tollctl.report import TableShape, render_report


def make_row(team: str, cost_usd: str, requests: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": {"team": team}, "requests": requests, "cost_usd": cost_usd, **more}


def test_the_total_is_that_of_the_answer() -> None:
    total = {"requests": 9, "cost_usd": "10000000000.290000001"}
    last = render_report([make_row("a", "0.1")], total, ["team"], TableShape()).splitlines()[-1].split()
    assert (last[0], last[1], last[-1]) == ("TOTAL", "9", "10000000000.290000001")


def test_rows_keep_their_order_and_slots_show_the_local_time() -> None:
    rows = [
        make_row("a", "1", start_time="2026-11-01T00:00:00Z"),
        make_row("b", "2", start_time="2026-11-02T00:00:00Z"),
    ]
    shape = TableShape(has_slots=True, zone=ZoneInfo("Asia/Kolkata"))
    lines = render_report(rows, {}, ["team"], shape).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["2026-11-01T05:30+05:30", "a"],
        ["2026-11-02T05:30+05:30", "b"],
    ]


def test_one_sum_over_everything_has_one_line() -> None:
    row = make_row("", "3.00", 7)
    (heading, only) = render_report([row], row, [], TableShape()).splitlines()
    assert heading.split()[0] == "REQUESTS" and only.split()[0] == "7" and only.split()[-1] == "3.00"


def test_wide_tables_have_percentiles_and_what_is_known_of_the_cost() -> None:
    row = make_row(
        "a", "3.00", failed_cost_usd="0.50", duration_p50_ms=1.2345, duration_p95_ms=1234.5, states={"unpriced": 2}
    )
    heading, line = render_report([row], row, [], TableShape(is_wide=True)).splitlines()
    found = dict(zip(re.split(r"  +", heading.strip()), re.split(r"  +", line.strip()), strict=True))
    assert (found["FAILED USD"], found["UNPRICED"], found["P50 MS"], found["P95 MS"]) == ("0.50", "2", "1.23", "1234")
    assert found["TTFT P50"] == "-"


def test_a_call_is_shown_with_its_attempts_and_adjustments() -> None:
    adjustment = {"run_id": "r1", "prior_state": "unpriced", "state": "reported", "difference_usd": "0.25"}
    attempt = {"attempt": 1, "upstream": "upstreams/a", "state": "unpriced", "billable": True, "cost_usd": "0.00"}
    lines = render_attempts({"attempts": [{**attempt, "adjustments": [adjustment]}]}).splitlines()
    assert lines[1].split()[:2] == ["1", "a"]
    assert "run r1" in lines[2] and "unpriced -> reported" in lines[2] and lines[2].endswith("0.25")
    assert render_attempts({"attempts": []}) == ""


def test_tables_line_up_and_hold_no_control_characters() -> None:
    text = render_table(["NAME", "N"], [["a\x1b[31m", "1"], ["", "200"]], frozenset({1}))
    assert text.splitlines() == ["NAME      N", "a\N{REPLACEMENT CHARACTER}[31m    1", "-       200"]


def test_yaml_reads_as_people_write_it() -> None:
    text = render_yaml({"kind": "Team", "a": ["x"]}, {"on": "yes", "t": "2030-01-01", "u": "ä"})
    assert text == "---\nkind: Team\na:\n- x\n---\n'on': 'yes'\nt: '2030-01-01'\nu: ä\n"


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (
            Receipt("req_1", "sim/echo", "1", "0.5", 1, 2, 7),
            "1 + 2 tokens, 0.5 USD, request req_1, answered by sim/echo, 7 ms",
        ),
        (Receipt("req_1", "", "", "", None, None, 7), "request req_1, 7 ms"),
    ],
)
def test_receipts(receipt: Receipt, expected: str) -> None:
    assert render_receipt(receipt) == expected
