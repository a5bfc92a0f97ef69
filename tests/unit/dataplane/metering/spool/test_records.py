from hypothesis import given
from hypothesis import strategies as st

from dataplane.metering.spool.records import RecordKind, read_records, write_record

RECORDS = st.lists(st.tuples(st.sampled_from(RecordKind), st.binary(max_size=60)), max_size=12)


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
def test_a_bit_that_flips_is_never_taken_for_usage(
    records: list[tuple[RecordKind, bytes]], data: st.DataObject
) -> None:
    damaged = bytearray(written(records))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    found = read(bytes(damaged))
    assert found == records[: len(found)]
    assert len(found) < len(records)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_fault(data: bytes) -> None:
    assert sum(len(payload) + 9 for _, payload in read(data)) <= len(data)
