"""The schema check finds what it is for."""

from pathlib import Path

from tests import schema_check


def test_drift_is_told_file_by_file(tmp_path: Path) -> None:
    fresh, committed = tmp_path / "fresh", tmp_path / "committed"
    for root, names in ((fresh, ("same", "changed", "new")), (committed, ("same", "changed", "old"))):
        for name in names:
            path = root / "tollway" / "x" / f"{name}_pb2.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{root}" if name == "changed" else name)
    assert list(schema_check.drift(fresh, committed)) == [
        "tollway/x/changed_pb2.py: is not what the schemas generate; run make proto",
        "tollway/x/new_pb2.py: is missing; run make proto",
        "tollway/x/old_pb2.py: generated from no schema; delete it",
    ]


def test_a_missing_baseline_is_a_finding(tmp_path: Path) -> None:
    [finding] = schema_check.breaking_changes(tmp_path / "a", tmp_path / "baseline.binpb")
    assert "make proto-baseline" in finding


def test_unknown_arguments_are_refused() -> None:
    assert schema_check.main(["--help"]) == 1
