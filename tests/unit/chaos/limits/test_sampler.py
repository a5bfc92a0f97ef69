"""A truth log is followed while it grows."""

import json
from pathlib import Path

from tests.chaos.limits.sampler import TruthTail


def record(call: str, cost: int) -> str:
    return json.dumps({"call": call, "user": "u", "cost_nano_usd": cost}) + "\n"


def test_the_newest_record_of_a_call_counts_and_half_a_line_waits(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    half = record("b", 7)
    log.write_text(record("a", 1) + "torn {\n" + half[:9])
    tail = TruthTail(log)
    tail.read()
    assert tail.costs == {"a": ("u", 1)}
    log.write_text(log.read_text() + half[9:] + record("a", 3))
    tail.read()
    assert tail.costs == {"a": ("u", 3), "b": ("u", 7)}
    tail.read()
    assert len(tail.costs) == 2
