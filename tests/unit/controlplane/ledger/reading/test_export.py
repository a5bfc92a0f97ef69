"""CSV that programs and spreadsheets read alike."""

import csv
import io
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from controlplane.ledger.reading.export import csv_header, csv_lines
from controlplane.ledger.times import timestamp
from tollway.admin.v1.usage_pb2 import UsageRow

START = datetime(2026, 11, 1, tzinfo=UTC)


def row(model: str = "m", **fields: object) -> UsageRow:
    made = UsageRow(group={"team": "growth", "model": model}, start_time=timestamp(START), end_time=timestamp(START))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def parsed(made: UsageRow, *, latencies: bool = False) -> dict[str, str]:
    group_by = ["team", "model"]
    text = csv_header(group_by, latencies=latencies) + csv_lines([made], group_by, UTC, latencies=latencies)
    heading, line = csv.reader(io.StringIO(text.decode(), newline=""), strict=True)
    return dict(zip(heading, line, strict=True))


def test_a_row_has_its_times_groups_measures_and_states() -> None:
    made = row(requests=3, cost_usd="1.50", adjustment_usd="-0.25")
    made.states["unpriced"] = 2
    found = parsed(made)
    assert list(found)[:5] == ["start_time", "end_time", "team", "model", "requests"]
    assert (found["team"], found["requests"], found["cost_usd"], found["unpriced_attempts"]) == (
        "growth",
        "3",
        "1.50",
        "2",
    )
    assert found["adjustment_usd"] == "-0.25"
    assert found["start_time"] == "2026-11-01T00:00:00Z"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_runs_as_a_formula(text: str) -> None:
    assert parsed(row(model=text))["model"] == f"'{text}"


@pytest.mark.parametrize("text", ['a,"b"', "a\nb", "", "ä", "a=b"])
def test_any_other_text_survives(text: str) -> None:
    assert parsed(row(model=text))["model"] == text


def test_lines_end_as_the_standard_says() -> None:
    text = csv_lines([row(model='say "a, b"')], ["model"], UTC, latencies=False)
    assert text.endswith(b"\r\n") and b'"say ""a, b"""' in text


def test_percentiles_are_empty_where_nothing_was_measured() -> None:
    found = parsed(row(duration_p50_ms=12.5), latencies=True)
    assert (found["duration_p50_ms"], found["duration_p95_ms"]) == ("12.5", "")


def test_times_are_of_the_time_zone() -> None:
    text = csv_lines([row()], [], ZoneInfo("Asia/Kolkata"), latencies=False).decode()
    assert text.startswith("2026-11-01T05:30:00+05:30,")
