"""Spools that a disk, a person or a kill at a bad moment has marred."""

import os
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataplane.metering.spool.folders import abandoned_folders, make_folder, make_root
from dataplane.metering.spool.journal import Journal
from dataplane.metering.spool.records import RecordKind, read_records
from dataplane.metering.spool.recovery import Recovered, SpoolUnreadable, recover
from tests.unit.dataplane.metering.spool.test_journal import BOOT_ID, Process, event
from tollway.usage.v1.usage_pb2 import UsageEvent


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A disk that is full: it takes a part of what would go beyond, and then no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def flip(path: Path, kind: RecordKind, which: int) -> None:
    """Damage one record in its middle."""
    data = bytearray(path.read_bytes())
    record = [record for record in read_records(bytes(data)) if record.kind is kind][which]
    data[(record.start + record.end) // 2] ^= 4
    path.write_bytes(data)


def events_of(recovered: Recovered) -> dict[int, UsageEvent]:
    found = recovered.journal.read(1, recovered.last_sequence)
    return {made.sequence: made for made in map(UsageEvent.FromString, found)}


def busy(folder: Path, calls: int = 6, ended: int = 4) -> Process:
    """`calls` have begun and the first `ended` of them have ended, all in one segment."""
    process = Process(folder, segment_bytes=1 << 20)
    for _ in range(calls):
        process.begin()
    for call in range(1, ended + 1):
        process.end((call, 1))
    process.journal.close()
    return process


def test_half_a_record_that_a_full_disk_took_is_taken_back(tmp_path: Path) -> None:
    process = busy(tmp_path, calls=2, ended=0)
    journal = Journal(tmp_path, lambda: ())
    journal._number = 5
    journal.write_open(event(11, 1).SerializeToString())
    size_bytes = journal.paths()[-1].stat().st_size
    with files_of_at_most(size_bytes + 20):
        with pytest.raises(OSError, match="large"):
            journal.write_open(event(12, 1).SerializeToString())
        assert journal.paths()[-1].stat().st_size == size_bytes
        journal.write_close(event(11, 1, 1).SerializeToString(), 1)
        assert journal.is_failing
        journal.forget(1)
    journal.retry()
    journal.close()
    recovered = recover(tmp_path, BOOT_ID)
    assert (recovered.damages, recovered.estimates) == (0, len(process.open))
    assert events_of(recovered)[1].request_id == event(11, 1).request_id


def test_a_full_disk_is_told_once_and_counted_at_every_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    journal = Journal(tmp_path, lambda: ())
    for _ in range(2):
        with files_of_at_most(3):
            for _ in range(5):
                with pytest.raises(OSError, match="large"):
                    journal.write_open(event(1, 1).SerializeToString())
        journal.write_open(event(1, 1).SerializeToString())
    assert journal.failures == 10
    assert caplog.text.count("cannot be written") == caplog.text.count("can be written again") == 2


def test_a_segment_that_cannot_be_begun_is_tried_again_and_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lambda: ())
    with files_of_at_most(3), pytest.raises(OSError, match="large"):
        journal.write_open(event(1, 1).SerializeToString())
    assert list(tmp_path.iterdir()) == []
    journal.write_open(event(1, 1).SerializeToString())
    assert recover(tmp_path, BOOT_ID).estimates == 1


def test_what_follows_a_damaged_record_is_not_lost(tmp_path: Path) -> None:
    process = busy(tmp_path)
    [path] = process.journal.paths()
    flip(path, RecordKind.OPEN, 4)

    recovered = recover(tmp_path, BOOT_ID)

    assert recovered.damages == 1
    assert (recovered.first_sequence, recovered.last_sequence, recovered.estimates) == (1, 5, 1)
    assert [e.request_id for e in events_of(recovered).values()] == [
        event(call, 1).request_id for call in (1, 2, 3, 4, 6)
    ]


def test_an_attempt_whose_end_is_damaged_is_estimated_under_the_id_that_its_event_has(tmp_path: Path) -> None:
    process = Process(tmp_path, segment_bytes=400)
    for _ in range(3):
        process.begin()
        process.end((process.calls, 1))
    process.begin()
    while len(process.journal.paths()) < 3:
        process.begin()
        process.end((process.calls, 1))
    process.journal.close()
    lost = event(2, 1, 2)
    flip(process.journal.paths()[0], RecordKind.CLOSE, 1)

    recovered = recover(tmp_path, BOOT_ID)

    events = events_of(recovered)
    assert recovered.estimates == 2
    assert sorted(events) == list(range(1, recovered.last_sequence + 1))
    assert (events[2].event_id, events[2].request_id) == (lost.event_id, lost.request_id)
    assert recovered.last_sequence == process.calls
    assert events[recovered.last_sequence].request_id == event(4, 1).request_id
    again = recover(tmp_path, BOOT_ID)
    assert (again.estimates, again.last_sequence, events_of(again)) == (0, recovered.last_sequence, events)


@pytest.mark.parametrize("how", ["flipped", "zeros"])
def test_an_end_that_never_reached_the_disk_is_estimated_under_its_id_too(tmp_path: Path, how: str) -> None:
    process = busy(tmp_path)
    [path] = process.journal.paths()
    data = path.read_bytes()
    last = [record for record in read_records(data) if record.kind is RecordKind.CLOSE][-1]
    end = bytes(last.end - last.start) if how == "zeros" else b"\x04" + data[last.start + 1 :]
    path.write_bytes(data[: last.start] + end)

    recovered = recover(tmp_path, BOOT_ID)

    events = events_of(recovered)
    assert (recovered.damages, recovered.estimates, sorted(events)) == (1, 3, [1, 2, 3, 4, 5, 6])
    assert events[4].event_id == event(4, 1, 4).event_id


def test_a_recovery_that_is_cut_short_anywhere_gives_the_same_events_the_next_time(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    busy(source, calls=9, ended=3)
    whole = tmp_path / "whole"
    shutil.copytree(source, whole)
    expected = events_of(recover(whole, BOOT_ID))
    added = sorted(whole.glob("*.spool"))[-1]
    data = added.read_bytes()
    for cut in range(0, len(data) + 1, 7):
        folder = tmp_path / f"cut-{cut}"
        shutil.copytree(source, folder)
        (folder / added.name).write_bytes(data[:cut])
        assert events_of(recover(folder, BOOT_ID)) == expected


def test_a_copied_folder_is_refused(tmp_path: Path) -> None:
    busy(tmp_path)
    with pytest.raises(SpoolUnreadable, match="another process"):
        recover(tmp_path, BOOT_ID + 1)


def test_what_is_no_event_is_refused_and_strange_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.spool").write_text("mine")
    (tmp_path / "0000000001.txt").write_text("mine")
    assert recover(tmp_path, BOOT_ID).last_sequence == 0
    journal = Journal(tmp_path, lambda: ())
    journal._number = 3
    journal.write_open(b"\xff\xff\xff")
    with pytest.raises(SpoolUnreadable, match="no usage event"):
        recover(tmp_path, BOOT_ID)


def test_syncing_in_a_thread_misses_no_segment_and_leaks_no_file(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    journal = Journal(tmp_path, lambda: (), 300, is_synced=True)
    stop = threading.Event()
    failures: list[OSError] = []

    def sync() -> None:
        while not stop.is_set():
            try:
                journal.sync()
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    for sequence in range(1, 600):
        journal.write_close(event(sequence, 1, sequence).SerializeToString(), sequence)
    stop.set()
    thread.join()
    journal.close()
    assert failures == []
    assert len(journal.paths()) > 100
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(events_of(recover(tmp_path, BOOT_ID))) == 599


def test_only_folders_of_processes_are_taken_over(tmp_path: Path) -> None:
    make_root(tmp_path / "spool")
    root = tmp_path / "spool"
    for name in ("lost+found", "new-63", "old-63", "-63", "063", "6_3", "400000000", "0"):
        (root / name).mkdir()
    (root / "63").write_text("a file")
    (root / "64").symlink_to(tmp_path)
    assert list(abandoned_folders(root)) == []


def test_a_folder_that_goes_is_nobodys_to_take_over(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    make_root(root)
    folder = make_folder(root, BOOT_ID)
    (folder.path / "strange").write_text("left behind by somebody")
    with pytest.raises(OSError, match="not empty"):
        folder.remove()
    folder.release()
    assert list(abandoned_folders(root)) == []
