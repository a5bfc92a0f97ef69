"""The allocator against a small model: two processes, repeated and lost messages, usage that comes when it likes."""

import uuid

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controlplane.quota.rows import BucketRow, Kind
from controlplane.quota.specs import spec_of
from tests.fakes.quota_rows import FakeQuotaTables
from tests.unit.controlplane.quota.test_authority import BUDGET, BUDGET_BUCKET, CAP, NOW_US, Plane, spell
from tollway.quota.v1 import quota_pb2 as quota

SMALL = st.integers(0, CAP // 3)
BUCKET_ID = uuid.UUID(bytes=BUDGET_BUCKET.bucket_id)


class Process:
    """A data plane as the model has it: per lease what it saw granted, used and gave back."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.lease_id = b""
        self.granted: dict[bytes, int] = {}
        self.used: dict[bytes, int] = {}
        self.returned: dict[bytes, int] = {}

    @property
    def balance(self) -> int:
        held = self.granted.get(self.lease_id, 0)
        return held - self.used.get(self.lease_id, 0) - self.returned.get(self.lease_id, 0)

    def see(self, grant: quota.Grant) -> None:
        if grant.lease_id:
            self.lease_id = grant.lease_id
            self.granted[grant.lease_id] = max(self.granted.get(grant.lease_id, 0), grant.granted_total)


class AllocatorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.tables = FakeQuotaTables()
        self.processes: list[Process] = []
        self.on_the_way: list[tuple[bytes, int]] = []
        self.truth = 0

    @initialize()
    def start(self) -> None:
        self.processes = [Process(Plane(self.tables, boot_id=n, node=f"n{n}")) for n in (1, 2)]
        self.processes[0].plane.memory.learn([BUDGET_BUCKET])
        name = self.processes[0].plane.memory.names[BUCKET_ID]
        spec = spec_of(name, {BUDGET.name: BUDGET}.get, NOW_US)
        assert spec is not None
        self.tables.buckets[spec.key] = BucketRow(spec.key, name, Kind.BUDGET, CAP, seeded=True)

    @rule(index=st.integers(0, 1), need=SMALL, want=SMALL, is_lost=st.booleans())
    def ask(self, index: int, need: int, want: int, is_lost: bool) -> None:
        process = self.processes[index]
        has = process.balance
        grant = process.plane.ask(BUDGET_BUCKET, need, want, process.lease_id, has)
        if not is_lost:
            process.see(grant)

    @rule(index=st.integers(0, 1), part=st.integers(1, 100))
    def use(self, index: int, part: int) -> None:
        process = self.processes[index]
        amount = process.balance * part // 100
        if amount > 0:
            process.used[process.lease_id] = process.used.get(process.lease_id, 0) + amount
            self.truth += amount
            self.on_the_way.append((process.lease_id, amount))

    @rule(index=st.integers(0, 1), part=st.integers(1, 100), is_final=st.booleans(), times=st.integers(1, 2))
    def give_back(self, index: int, part: int, is_final: bool, times: int) -> None:
        process = self.processes[index]
        lease_id, amount = process.lease_id, process.balance if is_final else process.balance * part // 100
        if not lease_id or amount < 0:
            return
        process.returned[lease_id] = process.returned.get(lease_id, 0) + amount
        back = quota.Return(
            bucket_id=BUDGET_BUCKET.bucket_id,
            lease_id=lease_id,
            returned_total=process.returned[lease_id],
            final=is_final,
        )
        for _ in range(times):
            process.plane.send(returns=(back,))
        if is_final:
            process.lease_id = b""

    @rule(data=st.data())
    def book(self, data: st.DataObject) -> None:
        if self.on_the_way:
            lease_id, amount = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
            self.tables.book(uuid.UUID(bytes=lease_id), amount)

    @rule(index=st.integers(0, 1))
    def reconnect(self, index: int) -> None:
        process = self.processes[index]
        if not process.lease_id:
            process.plane.hello()
            return
        process.plane.hello(
            quota.HeldLease(
                bucket=BUDGET_BUCKET,
                lease_id=process.lease_id,
                window_start_ms=next(iter(self.tables.buckets)).window_start_ms,
                granted_total=process.granted[process.lease_id],
                returned_total=process.returned.get(process.lease_id, 0),
            )
        )

    @rule(index=st.integers(0, 1))
    def crash(self, index: int) -> None:
        process = self.processes[index]
        boot_id = process.plane.boot_id
        self.processes[index] = Process(Plane(self.tables, boot_id=boot_id + 2, node=process.plane.node))
        self.processes[index].plane.hello(gone=(boot_id,))

    @invariant()
    def escrow_is_what_leases_say(self) -> None:
        for row in self.tables.buckets.values():
            leases = [lease for lease in self.tables.leases.values() if lease.key == row.key]
            assert row.escrow == sum(lease.escrow for lease in leases)
            assert row.provisional == sum(lease.provisional for lease in leases)

    @invariant()
    def nothing_is_spent_beyond_the_cap(self) -> None:
        for row in self.tables.buckets.values():
            assert row.spent + row.escrow + row.provisional <= CAP
            assert self.truth <= row.spent + row.escrow + row.provisional

    @invariant()
    def no_process_believes_more_than_it_has(self) -> None:
        for process in self.processes:
            for lease_id, granted in process.granted.items():
                assert granted <= self.tables.leases[uuid.UUID(bytes=lease_id)].granted


TestAllocator = AllocatorMachine.TestCase
TestAllocator.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_a_spelling_is_what_both_planes_derive() -> None:
    assert spell("budgets/b", 0, "teams/a").bucket_id == BUDGET_BUCKET.bucket_id
