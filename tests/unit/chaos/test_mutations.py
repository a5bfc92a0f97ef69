"""Mutations fit the source, and say so when they do not any more."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.mutations import MUTATIONS, Change, Mutation, apply_changes
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.waiting import CampaignFailed

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.name for mutation in MUTATIONS])
def test_a_mutation_fits_and_what_it_makes_is_python(mutation: Mutation, tmp_path: Path) -> None:
    for change in mutation.changes:
        (tmp_path / change.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / change.path, tmp_path / change.path)
    apply_changes(tmp_path, mutation.changes)
    for change in mutation.changes:
        mutated = (tmp_path / change.path).read_text()
        assert mutated != (ROOT / change.path).read_text()
        compile(mutated, change.path, "exec")
    assert mutation.scenario in SCENARIOS


@pytest.mark.parametrize("source", ["", "a\na\n"])
def test_a_change_that_does_not_fit_once_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "x.py").write_text(source)
    with pytest.raises(CampaignFailed, match=r"x\.py"):
        apply_changes(tmp_path, [Change("x.py", "a\n", "b\n")])
