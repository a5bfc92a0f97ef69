from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dataplane.metering.spool.records import RecordKind, read_records, write_record

KINDS = [kind for kind in RecordKind if kind is not RecordKind.DAMAGE]
RECORDS = st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=60)), max_size=12)


def written(records: list[tuple[RecordKind, bytes]]) -> bytes:
    return b"".join(write_record(kind, payload) for kind, payload in records)


def read(data: bytes) -> list[tuple[RecordKind, bytes]]:
    return [(record.kind, record.payload) for record in read_records(data)]


@given(RECORDS)
def test_what_is_written_is_read(records: list[tuple[RecordKind, bytes]]) -> None:
    assert read(written(records)) == records


@given(RECORDS, st.data())
def test_a_file_that_is_cut_anywhere_gives_the_whole_records_before(
    records: list[tuple[RecordKind, bytes]], data: st.DataObject
) -> None:
    whole = written(records)
    cut = data.draw(st.integers(0, len(whole)))
    kept = 0
    while kept < len(records) and len(written(records[: kept + 1])) <= cut:
        kept += 1
    assert read(whole[:cut]) == records[:kept]


@given(RECORDS.filter(bool), st.data())
def test_a_bit_that_flips_costs_its_own_record_and_no_other(
    records: list[tuple[RecordKind, bytes]], data: st.DataObject
) -> None:
    damaged = bytearray(written(records))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    hit = next(n for n in range(len(records)) if len(written(records[: n + 1])) > bit // 8)
    found = read(bytes(damaged))
    whole = [record for record in found if record[0] is not RecordKind.DAMAGE]
    assert whole == records[:hit] + records[hit + 1 :]
    is_told = len(found) > len(whole)
    assert is_told or hit == len(records) - 1, "what is not at the end is no torn record"


def test_a_page_that_never_reached_the_disk_is_damage() -> None:
    record = write_record(RecordKind.CLOSE, b"payload")
    assert read(record + bytes(4096)) == [(RecordKind.CLOSE, b"payload"), (RecordKind.DAMAGE, b"")]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_fault(data: bytes) -> None:
    records = list(read_records(data))
    assert all(before.end == after.start for before, after in pairwise(records))
    assert sum(record.end - record.start for record in records) <= len(data)
