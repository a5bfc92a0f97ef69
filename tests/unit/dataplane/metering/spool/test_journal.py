import os
import random
from pathlib import Path

import pytest

from dataplane.metering.spool.folders import abandoned_folders, make_folder, make_root
from dataplane.metering.spool.journal import Journal
from dataplane.metering.spool.recovery import recover
from tollway.kernel.usage import SettlementState, event_id
from tollway.usage.v1.usage_pb2 import UsageEvent

BOOT_ID = 99
START_MS = 1_795_262_400_000


def event(call: int, attempt: int, sequence: int = 0) -> UsageEvent:
    made = UsageEvent(request_id=f"req_{call:032x}", attempt=attempt, start_time_us=START_MS * 1000 + call)
    made.state = SettlementState.ESTIMATED.value  # type: ignore[assignment]
    if sequence:
        made.boot_id, made.sequence, made.final = BOOT_ID, sequence, True
        made.event_id = event_id(START_MS, BOOT_ID, sequence).bytes
    return made


class Process:
    """A process that begins and ends attempts, and what a spool must hold of it."""

    def __init__(self, folder: Path, segment_bytes: int = 400) -> None:
        self.open: dict[tuple[int, int], UsageEvent] = {}
        self.ended: dict[int, tuple[int, int]] = {}
        self.journal = Journal(folder, lambda: [e.SerializeToString() for e in self.open.values()], segment_bytes)
        self.calls = 0

    def begin(self) -> None:
        self.calls += 1
        opened = event(self.calls, 1)
        self.journal.write_open(opened.SerializeToString())
        self.open[self.calls, 1] = opened

    def end(self, key: tuple[int, int]) -> None:
        del self.open[key]
        sequence = len(self.ended) + 1
        self.journal.write_close(event(*key, sequence).SerializeToString(), sequence)
        self.ended[sequence] = key


@pytest.mark.parametrize("seed", range(20))
def test_whatever_was_begun_has_one_event_after_a_crash(tmp_path: Path, seed: int) -> None:
    chance, process, forgotten = random.Random(seed), Process(tmp_path), 0
    for _ in range(chance.randint(1, 150)):
        if process.open and chance.random() < 0.5:
            process.end(chance.choice(list(process.open)))
        else:
            process.begin()
        if process.ended and chance.random() < 0.1:
            forgotten = chance.randint(forgotten, len(process.ended))
            process.journal.forget(forgotten)
            if chance.random() < 0.5:
                process.journal.delete_forgotten()
    process.journal.close()

    recovered = recover(tmp_path, BOOT_ID)

    first, last = recovered.first_sequence, recovered.last_sequence
    assert last == len(process.ended) + len(process.open)
    assert 1 <= first <= forgotten + 1
    events = [UsageEvent.FromString(data) for data in recovered.journal.read(first, last)]
    assert [e.sequence for e in events] == list(range(first, last + 1))
    estimates = events[len(events) - recovered.estimates :]
    assert {(int(e.request_id[4:], 16), e.attempt) for e in estimates} == set(process.open)
    assert all(e.final and e.event_id and e.boot_id == BOOT_ID for e in events)
    again = recover(tmp_path, BOOT_ID)
    assert (again.first_sequence, again.last_sequence, again.estimates) == (first, last, 0)


def test_a_torn_tail_costs_only_what_was_being_written(tmp_path: Path) -> None:
    process = Process(tmp_path, segment_bytes=1 << 20)
    for _ in range(5):
        process.begin()
    for key in list(process.open)[:3]:
        process.end(key)
    [path] = process.journal.paths()
    path.write_bytes(path.read_bytes()[:-3])

    recovered = recover(tmp_path, BOOT_ID)

    assert (recovered.last_sequence, recovered.estimates) == (5, 3)


def test_only_the_last_attempt_that_began_is_final(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lambda: ())
    for attempt in (1, 2):
        journal.write_open(event(7, attempt).SerializeToString())
    journal.write_close(event(7, 1, 1).SerializeToString(), 1)
    journal.write_open(event(7, 3).SerializeToString())
    recovered = recover(tmp_path, BOOT_ID)
    events = [UsageEvent.FromString(data) for data in recovered.journal.read(2, 3)]
    assert [(e.attempt, e.final) for e in events] == [(2, False), (3, True)]


def test_what_the_disk_refuses_is_kept_and_written_later_in_order(tmp_path: Path) -> None:
    process = Process(tmp_path, segment_bytes=1 << 20)
    process.begin()
    process.begin()
    limited = Journal(tmp_path / "missing", lambda: ())
    limited.write_close(event(1, 1, 1).SerializeToString(), 1)
    limited.write_close(event(2, 1, 2).SerializeToString(), 2)
    assert (limited.is_failing, limited.failures) == (True, 1)
    with pytest.raises(OSError, match="cannot be written"):
        limited.write_open(event(3, 1).SerializeToString())
    assert len(limited.read(1, 2)) == 2

    (tmp_path / "missing").mkdir()
    limited.retry()

    assert not limited.is_failing
    assert [UsageEvent.FromString(data).sequence for data in limited.read(1, 2)] == [1, 2]


def test_forgotten_segments_are_gone_from_the_disk(tmp_path: Path) -> None:
    process = Process(tmp_path)
    for _ in range(60):
        process.begin()
        process.end(next(iter(process.open)))
    assert len(process.journal.paths()) > 3
    process.journal.forget(60)
    process.journal.delete_forgotten()
    assert [p.name for p in tmp_path.iterdir()] == [p.name for p in process.journal.paths()]
    assert len(process.journal.paths()) == 1


def test_a_folder_is_one_processs_until_it_lets_go(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    make_root(root)
    mine = make_folder(root, BOOT_ID)
    assert mine.path.stat().st_mode & 0o777 == 0o700
    assert root.stat().st_mode & 0o777 == 0o700
    assert list(abandoned_folders(root)) == []
    mine.release()
    [taken] = abandoned_folders(root)
    assert (taken.boot_id, taken.path) == (BOOT_ID, mine.path)
    assert list(abandoned_folders(root)) == []
    taken.remove()
    assert os.listdir(root) == []
