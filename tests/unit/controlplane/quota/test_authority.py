"""What the authority grants, case by case."""

import uuid
from dataclasses import dataclass, field, replace

import pytest

from controlplane.quota.authority import Decision, decide, named_buckets, wanted
from controlplane.quota.reconciliation import learn_held, reconcile, wanted_by
from controlplane.quota.rows import BucketName, BucketRow, BucketSpec, Kind, LeaseState
from controlplane.quota.session import Holder, SessionMemory
from controlplane.quota.situation import Situation, Sources
from controlplane.quota.specs import spec_of
from controlplane.quota.workbook import Rows
from tests.fakes.quota_rows import FakeQuotaTables
from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.rules import bucket_id
from tollway.quota.v1 import quota_pb2 as quota
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_EXHAUSTED, GRANT_RESULT_GRANTED, GRANT_RESULT_UNKNOWN, Grant

NOW_US = 1_790_000_000_000_000
CAP = 1_000_000

BUDGET = pb.Resource(
    name="budgets/b",
    budget=pb.Budget(amount_nano_usd=CAP, period=pb.BUDGET_PERIOD_MONTH, generation="g1", per=["team"]),
)
LIMITS = pb.Resource(
    name="rateLimits/r",
    rate_limit=pb.RateLimit(
        generation="g1",
        limits=[
            pb.Limit(unit=pb.LIMIT_UNIT_REQUESTS, amount=60, window_ms=60_000),
            pb.Limit(unit=pb.LIMIT_UNIT_TOKENS, amount=6_000_000, window_ms=60_000),
            pb.Limit(unit=pb.LIMIT_UNIT_CONCURRENT, amount=4),
        ],
    ),
)


def spell(rule: str, limit: int = 0, *values: str, generation: str = "g1") -> quota.Bucket:
    identity = bucket_id(rule, generation, limit, values)
    return quota.Bucket(bucket_id=identity.bytes, rule=rule, generation=generation, limit=limit, values=values)


BUDGET_BUCKET = spell("budgets/b", 0, "teams/a")
REQUESTS, TOKENS, SLOTS = (spell("rateLimits/r", limit) for limit in range(3))


@dataclass
class Plane:
    """One stream of a data plane on tables that it may share."""

    tables: FakeQuotaTables
    boot_id: int = 1
    node: str = "node"
    memory: SessionMemory = field(default_factory=SessionMemory)
    resources: dict[str, pb.Resource] = field(default_factory=lambda: {r.name: r for r in (BUDGET, LIMITS)})
    now_us: int = NOW_US
    sequence: int = 0

    def situation(self, ids: set[uuid.UUID]) -> Situation:
        names = {i: self.memory.names[i] for i in ids if i in self.memory.names}
        specs = {i: spec_of(names[i], self.resources.get, self.now_us) if i in names else None for i in ids}
        sources = Sources(uuid.uuid4, lambda _: 0)
        rows = self.tables.load(wanted(quota.Update(), specs))
        return Situation(Holder(self.node, self.boot_id, 1), self.memory, specs, rows, self.now_us, sources)

    def send(self, *asks: quota.Ask, returns: tuple[quota.Return, ...] = ()) -> quota.LeaseResponse:
        self.sequence += 1
        update = quota.Update(sequence=self.sequence, asks=asks, returns=returns)
        self.memory.learn(ask.bucket for ask in asks)
        situation = self.situation(named_buckets(update))
        rows = self.tables.load(wanted(update, situation.specs))
        decision = decide(update, _with(situation, rows))
        return self.keep(decision)

    def hello(self, *held: quota.HeldLease, gone: tuple[int, ...] = ()) -> None:
        hello = quota.Hello(node=self.node, boot_id=self.boot_id, generation=1, held=held)
        learn_held(hello, self.memory)
        situation = self.situation({uuid.UUID(bytes=h.bucket.bucket_id) for h in held})
        rows = self.tables.load(wanted_by(hello, situation.specs), frozenset({self.boot_id, *gone}))
        self.keep(reconcile(hello, _with(situation, rows), gone))

    def keep(self, decision: Decision) -> quota.LeaseResponse:
        self.tables.store(decision.changes)
        self.memory.keep(decision.rate_leases, decision.ended_rates)
        return decision.response

    def ask(self, bucket: quota.Bucket, need: int = 0, want: int = 0, lease_id: bytes = b"", has: int = 0) -> Grant:
        [grant] = self.send(quota.Ask(bucket=bucket, need=need, want=want, lease_id=lease_id, has=has)).grants
        return grant


def _with(situation: Situation, rows: Rows) -> Situation:
    return replace(situation, rows=rows)


@pytest.fixture
def tables() -> FakeQuotaTables:
    tables = FakeQuotaTables()
    name = BucketName(uuid.UUID(bytes=BUDGET_BUCKET.bucket_id), "budgets/b", "g1", 0, ("teams/a",))
    spec = spec_of(name, {"budgets/b": BUDGET}.get, NOW_US)
    assert spec is not None
    tables.buckets[spec.key] = BucketRow(spec.key, spec.name, Kind.BUDGET, CAP, seeded=True)
    return tables


def bucket(tables: FakeQuotaTables) -> BucketRow:
    return next(row for row in tables.buckets.values() if row.kind is Kind.BUDGET)


def lease_id(grant: Grant) -> uuid.UUID:
    return uuid.UUID(bytes=grant.lease_id)


def test_a_first_holder_gets_half_of_what_is_left_at_most(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(BUDGET_BUCKET, need=1_000, want=900_000)
    assert (grant.result, grant.granted_total) == (GRANT_RESULT_GRANTED, CAP // 2)
    assert (grant.limit, grant.remaining, grant.per_call) == (CAP, CAP // 2, False)
    assert grant.window_start_ms < NOW_US // 1000 < grant.window_start_ms + grant.resets_in_ms + 32 * 86_400_000
    assert bucket(tables).escrow == CAP // 2


def test_a_need_beyond_the_share_is_met_while_it_is_there(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(BUDGET_BUCKET, need=700_000, want=700_000)
    assert (grant.granted_total, grant.per_call) == (700_000, True)


def test_a_need_beyond_what_is_left_gets_nothing(tables: FakeQuotaTables) -> None:
    first = Plane(tables, boot_id=1)
    held = first.ask(BUDGET_BUCKET, need=700_000)
    refused = Plane(tables, boot_id=2).ask(BUDGET_BUCKET, need=400_000)
    assert (refused.result, refused.granted_total, refused.lease_id) == (GRANT_RESULT_EXHAUSTED, 0, b"")
    assert refused.is_reserved
    assert 250 <= refused.deny_ms <= 1_000
    assert bucket(tables).starved_us == NOW_US
    tables.book(lease_id(held), 700_000)
    refused = Plane(tables, boot_id=2).ask(BUDGET_BUCKET, need=400_000)
    assert not refused.is_reserved


def test_returns_are_totals_so_that_a_second_one_changes_nothing(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grant = plane.ask(BUDGET_BUCKET, need=100_000)
    back = quota.Return(bucket_id=grant.bucket_id, lease_id=grant.lease_id, returned_total=40_000)
    plane.send(returns=(back,))
    plane.send(returns=(back,))
    assert bucket(tables).escrow == 60_000


@pytest.mark.parametrize("is_event_first", [True, False])
def test_return_and_event_lead_to_the_same_in_any_order(tables: FakeQuotaTables, is_event_first: bool) -> None:
    plane = Plane(tables)
    grant = plane.ask(BUDGET_BUCKET, need=100_000)
    back = quota.Return(bucket_id=grant.bucket_id, lease_id=grant.lease_id, returned_total=40_000, final=True)
    if is_event_first:
        tables.book(lease_id(grant), 60_000)
    plane.send(returns=(back,))
    if not is_event_first:
        assert bucket(tables).escrow == 60_000
        tables.book(lease_id(grant), 60_000)
    assert (bucket(tables).escrow, bucket(tables).spent) == (0, 60_000)


def test_an_overdrawn_lease_repays_its_debt_first(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grant = plane.ask(BUDGET_BUCKET, need=100_000)
    tables.book(lease_id(grant), 130_000)
    assert bucket(tables).escrow == 0
    plane.ask(BUDGET_BUCKET, need=50_000, lease_id=grant.lease_id)
    assert bucket(tables).escrow == 20_000


def test_a_foreign_lease_is_neither_used_nor_given_back(tables: FakeQuotaTables) -> None:
    grant = Plane(tables, boot_id=1).ask(BUDGET_BUCKET, need=100_000)
    other = Plane(tables, boot_id=2)
    own = other.ask(BUDGET_BUCKET, need=1_000, lease_id=grant.lease_id)
    other.send(returns=(quota.Return(bucket_id=grant.bucket_id, lease_id=grant.lease_id, returned_total=100_000),))
    assert own.lease_id != grant.lease_id
    assert bucket(tables).escrow == 101_000


def test_an_unknown_generation_is_unknown(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(spell("budgets/b", 0, "teams/a", generation="g0"), need=1)
    assert grant.result == GRANT_RESULT_UNKNOWN
    assert Plane(tables).ask(spell("budgets/none"), need=1).result == GRANT_RESULT_UNKNOWN


@pytest.mark.parametrize("values", [["teams/z"], ["x\0"], ["x" * 2_000]])
def test_a_bucket_that_is_spelled_wrongly_is_unknown(tables: FakeQuotaTables, values: list[str]) -> None:
    """What a caller's header did to it must not end the stream of all others."""
    identity = bucket_id("budgets/b", "g1", 0, values if values != ["teams/z"] else [])
    wrong = quota.Bucket(bucket_id=identity.bytes, rule="budgets/b", generation="g1", values=values)
    assert Plane(tables).ask(wrong, need=1).result == GRANT_RESULT_UNKNOWN


def test_a_lowered_cap_recalls_what_is_held(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grant = plane.ask(BUDGET_BUCKET, need=100_000)
    lower = pb.Resource(name="budgets/b", budget=pb.Budget())
    lower.CopyFrom(BUDGET)
    lower.budget.amount_nano_usd = 50_000
    plane.resources["budgets/b"] = lower
    ask = quota.Ask(bucket=BUDGET_BUCKET, lease_id=grant.lease_id, need=1, has=100_000)
    response = plane.send(ask)
    assert [g.result for g in response.grants] == [GRANT_RESULT_EXHAUSTED]
    assert [(r.lease_id, r.keep_at_most) for r in response.recalls] == [(grant.lease_id, 0)]


def test_a_lease_of_the_last_window_is_recalled_and_replaced(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grant = plane.ask(BUDGET_BUCKET, need=100_000)
    plane.now_us += grant.resets_in_ms * 1000
    name = plane.memory.names[uuid.UUID(bytes=BUDGET_BUCKET.bucket_id)]
    spec = spec_of(name, plane.resources.get, plane.now_us)
    assert spec is not None
    tables.buckets[spec.key] = BucketRow(spec.key, name, Kind.BUDGET, CAP, seeded=True)
    response = plane.send(quota.Ask(bucket=BUDGET_BUCKET, lease_id=grant.lease_id, need=1_000))
    assert [g.window_start_ms for g in response.grants] == [spec.window_start_ms]
    assert response.grants[0].lease_id != grant.lease_id
    assert [r.lease_id for r in response.recalls] == [grant.lease_id]


def test_a_lease_ends_with_its_window(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    plane.now_us += plane.ask(BUDGET_BUCKET, need=1).resets_in_ms * 1000 - 5_000_000
    assert plane.ask(BUDGET_BUCKET, need=1).ttl_ms == 5_000


def test_a_bucket_that_is_not_seeded_grants_nothing_yet() -> None:
    grant = Plane(FakeQuotaTables()).ask(BUDGET_BUCKET, need=1)
    assert (grant.result, grant.granted_total) == (GRANT_RESULT_UNKNOWN, 0)


def test_slots_of_a_silent_holder_come_free_when_they_expire(tables: FakeQuotaTables) -> None:
    Plane(tables, boot_id=1).ask(SLOTS, need=3)
    other = Plane(tables, boot_id=2)
    assert other.ask(SLOTS, need=2).result == GRANT_RESULT_EXHAUSTED
    other.now_us += 15_000_000
    assert other.ask(SLOTS, need=4).granted_total == 4


def test_slots_are_kept_by_renewing_them(tables: FakeQuotaTables) -> None:
    plane, other = Plane(tables, boot_id=1), Plane(tables, boot_id=2)
    held = plane.ask(SLOTS, need=3)
    plane.now_us = other.now_us = NOW_US + 15_000_000
    assert plane.ask(SLOTS, lease_id=held.lease_id).result == GRANT_RESULT_GRANTED
    assert other.ask(SLOTS, need=2).result == GRANT_RESULT_EXHAUSTED


def test_a_small_rate_is_granted_call_by_call(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grants = [plane.ask(REQUESTS, need=1, want=10) for _ in range(61)]
    assert [g.result for g in grants].count(GRANT_RESULT_GRANTED) == 60
    assert all(grant.per_call for grant in grants)
    assert 0 < grants[-1].deny_ms <= 1_000


def test_a_large_rate_is_granted_in_chunks_of_a_second(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(TOKENS, need=500, want=10_000_000)
    assert (grant.granted_total, grant.per_call) == (100_000, False)
    shared = Plane(tables, boot_id=2).ask(TOKENS, need=500, want=10_000_000)
    assert shared.granted_total == 50_000


def test_what_comes_back_of_a_rate_can_be_had_again_once(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    grant = plane.ask(TOKENS, need=6_000_000)
    back = quota.Return(bucket_id=grant.bucket_id, lease_id=grant.lease_id, returned_total=1_000_000)
    plane.send(returns=(back,))
    plane.send(returns=(back,))
    assert plane.ask(TOKENS, need=1_000_001).result == GRANT_RESULT_EXHAUSTED
    assert plane.ask(TOKENS, need=1_000_000).result == GRANT_RESULT_GRANTED


def test_what_was_granted_and_never_seen_is_free_after_hello(tables: FakeQuotaTables) -> None:
    plane = Plane(tables)
    seen = plane.ask(BUDGET_BUCKET, need=100_000)
    plane.ask(BUDGET_BUCKET, need=50_000, lease_id=seen.lease_id)
    Plane(tables).ask(BUDGET_BUCKET, need=70_000)
    Plane(tables).hello(held(seen, 100_000))
    assert bucket(tables).escrow == 100_000


def test_what_an_earlier_process_held_is_in_suspense(tables: FakeQuotaTables) -> None:
    grant = Plane(tables, boot_id=1).ask(BUDGET_BUCKET, need=100_000)
    Plane(tables, boot_id=2).hello(gone=(1,))
    assert tables.leases[lease_id(grant)].state is LeaseState.SUSPENSE
    assert bucket(tables).escrow == 100_000


def test_a_held_lease_that_the_database_lost_is_put_back(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(BUDGET_BUCKET, need=100_000)
    tables.leases.clear()
    key = bucket(tables).key
    tables.buckets[key] = BucketRow(key, bucket(tables).name, Kind.BUDGET, CAP, seeded=True)
    Plane(tables).hello(held(grant, 100_000))
    Plane(tables).hello(held(grant, 100_000))
    assert bucket(tables).escrow == 100_000


def test_a_lease_that_was_used_and_is_not_held_any_more_waits_for_its_usage(tables: FakeQuotaTables) -> None:
    grant = Plane(tables).ask(BUDGET_BUCKET, need=100_000)
    tables.book(lease_id(grant), 1)
    Plane(tables).hello()
    assert tables.leases[lease_id(grant)].state is LeaseState.SUSPENSE
    assert bucket(tables).escrow == 99_999


def held(grant: Grant, granted: int) -> quota.HeldLease:
    return quota.HeldLease(
        bucket=BUDGET_BUCKET,
        lease_id=grant.lease_id,
        window_start_ms=grant.window_start_ms,
        granted_total=granted,
    )


def test_specs_follow_the_configuration() -> None:
    name = BucketName(uuid.uuid4(), "rateLimits/r", "g1", 3, ())
    assert spec_of(name, {"rateLimits/r": LIMITS}.get, NOW_US) is None
    spec: BucketSpec | None = spec_of(
        BucketName(uuid.uuid4(), "rateLimits/r", "g1", 2, ()), {"rateLimits/r": LIMITS}.get, NOW_US
    )
    assert spec is not None
    assert (spec.kind, spec.cap) == (Kind.SLOTS, 4)


def test_leases_of_a_rate_that_hold_next_to_nothing_last_longer(tables: FakeQuotaTables) -> None:
    """Less than a sixteenth of what comes back in a second: the bound on what is held unused stays what it is."""
    plane = Plane(tables)
    assert plane.ask(TOKENS, need=1).ttl_ms == 24_000
    assert plane.ask(TOKENS, need=100_000).ttl_ms == 4_000
    assert plane.ask(REQUESTS, need=1).ttl_ms == 4_000
