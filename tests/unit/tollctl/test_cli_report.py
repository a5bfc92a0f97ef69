import csv
import io
from typing import Any

import pytest

from tollctl.commands.chat import render_receipt
from tollctl.conversation import Receipt
from tollctl.render import render_table, render_yaml
from tollctl.report import render_csv, render_report


def make_row(team: str, cost_usd: str, requests: int = 1, **more: Any) -> dict[str, Any]:
    return {"group": {"team": team}, "requests": requests, "cost_usd": cost_usd, **more}


def test_costs_are_summed_exactly() -> None:
    rows = [make_row("a", "0.1"), make_row("b", "0.2"), make_row("c", "0.000000001"), make_row("d", "9999999999.99")]
    last = render_report(rows, ["team"], has_slots=False).splitlines()[-1].split()
    assert (last[0], last[1], last[-1]) == ("TOTAL", "4", "10000000000.290000001")


def test_dearest_first_but_slots_in_order() -> None:
    rows = [make_row("a", "1", start_time="t1"), make_row("b", "2", start_time="t2")]
    assert [line.split()[0] for line in render_report(rows, ["team"], has_slots=False).splitlines()[1:3]] == ["b", "a"]
    assert [line.split()[:2] for line in render_report(rows, ["team"], has_slots=True).splitlines()[1:3]] == [
        ["t1", "a"],
        ["t2", "b"],
    ]


def test_one_sum_over_everything_has_one_line() -> None:
    (heading, only) = render_report([make_row("", "3", 7)], [], has_slots=False).splitlines()
    assert heading.split()[0] == "REQUESTS" and only.split()[0] == "7" and only.split()[-1] == "3.00"


def test_csv_quotes_and_keeps_the_cost_as_it_came() -> None:
    text = render_csv([make_row('a,"b"\n', "0.10")], ["team"], has_slots=False)
    heading, row = csv.reader(io.StringIO(text))
    assert dict(zip(heading, row, strict=True))["team"] == 'a,"b"\n'
    assert (heading[-1], row[-1]) == ("cost_usd", "0.10")


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
