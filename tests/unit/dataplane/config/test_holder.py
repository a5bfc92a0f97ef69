import gc
import math

import pytest

from dataplane.config.compile import apply
from dataplane.config.holder import SnapshotHolder, frozen_heap
from dataplane.config.state import CompiledState, Cursor
from tests.unit.dataplane.config.machine import delta, key


def test_nothing_is_in_force_before_the_first_configuration() -> None:
    holder = SnapshotHolder(lambda: 5.0)
    holder.confirm()
    assert (holder.current, holder.applied_cursor, holder.age_s) == (None, None, math.inf)


def test_age_counts_from_when_the_source_last_stood_by_it() -> None:
    now_s = 100.0
    holder = SnapshotHolder(lambda: now_s)
    state = apply(CompiledState(), delta(key("k", 1), reset=True, revision=3))
    holder.replace(state)
    assert holder.current is state.snapshot
    assert holder.applied_cursor == Cursor("e", 3)
    now_s = 107.0
    assert holder.age_s == 7.0
    holder.confirm()
    assert holder.age_s == 0.0


def test_a_frozen_heap_is_left_alone_by_the_collector() -> None:
    before = gc.get_freeze_count()
    try:
        with frozen_heap():
            assert not gc.isenabled()
            kept = [[number] for number in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= before + len(kept)
    finally:
        gc.unfreeze()


def test_a_failure_inside_leaves_the_collector_on() -> None:
    with pytest.raises(ZeroDivisionError), frozen_heap():
        raise ZeroDivisionError
    assert gc.isenabled()
