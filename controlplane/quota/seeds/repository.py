"""Seeds buckets from the ledger; see `seeding.py`.

What the ledger holds and what of it charged a bucket itself are read in one snapshot. Their difference stays true while
entries are booked that charge the bucket, so that no lock is held while the ledger is read.
"""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Boolean, Uuid, bindparam, case, func, text, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.db.engine import Database
from controlplane.ledger.costs.repository import CostQuery, read_costs
from controlplane.quota.rows import BucketKey, BucketSpec, key_arrays
from controlplane.quota.seeding import Seeding
from controlplane.quota.tables import quota_bucket


class SeedRepository:
    """Raises Unavailable while a database is away, or where the ledger takes too long to read, through `patient`."""

    def __init__(self, database: Database, patient: Database) -> None:
        self._database = database
        self._patient = patient

    async def seed(self, seeding: Seeding) -> None:
        """Makes the buckets that are missing, and counts in what the ledger holds for those without a seed."""
        async with self._database.transaction() as connection:
            await connection.execute(_MAKE, [_new(spec) for spec in sorted(seeding.specs, key=lambda spec: spec.key)])
        await self._count_in(seeding, is_first=True)

    async def seed_again(self, seeding: Seeding) -> None:
        """Counts anew what the ledger holds for buckets that have a seed; never less than before.

        An entry whose data plane had a clock behind by some seconds may charge a window that its own time is not in.
        """
        await self._count_in(seeding, is_first=False)

    async def _count_in(self, seeding: Seeding, *, is_first: bool) -> None:
        priors = await self._read_priors(seeding)
        specs = {spec.key: spec for spec in seeding.specs}
        rows = [
            {
                "id": key.bucket_id,
                "start": key.window_start_ms,
                "new_prior": prior,
                "is_first": is_first,
                **_named(specs[key]),
            }
            for key, prior in sorted(priors.items())
        ]
        async with self._database.transaction() as connection:
            await connection.execute(_SEED, rows)

    async def _read_priors(self, seeding: Seeding) -> Mapping[BucketKey, int]:
        """What the ledger holds for each bucket less what charged it itself, as of one moment."""
        query = CostQuery(seeding.start, seeding.end, seeding.entry_dimensions, seeding.among)
        async with self._patient.snapshot() as connection:
            sums = seeding.sums(await read_costs(connection, query))
            charged = await connection.execute(_CHARGED, key_arrays(sums))
            own = {BucketKey(row.bucket_id, row.window_start_ms): row.charged_cost_nano_usd for row in charged}
        return {key: held - own.get(key, 0) for key, held in sums.items()}


def _new(spec: BucketSpec) -> dict[str, object]:
    """A bucket that nothing was charged to, and of which nothing is held."""
    name = spec.name
    counts = dict.fromkeys(
        ("spent", "escrow", "provisional", "prior", "charged_cost_nano_usd", "seeds", "starved_us"), 0
    )
    return {
        "bucket_id": spec.key.bucket_id,
        "window_start_ms": spec.key.window_start_ms,
        "kind": int(spec.kind),
        "rule": name.rule,
        "generation": name.generation,
        "limit_index": name.limit,
        "dimension_values": list(name.values),
        "cap": spec.cap,
        **counts,
    }


def _named(spec: BucketSpec) -> dict[str, object]:
    """What a bucket that a booking made does not know of itself."""
    return {
        "named_rule": spec.name.rule,
        "named_generation": spec.name.generation,
        "named_values": list(spec.name.values),
        "end": spec.window_end_ms,
        "capped": spec.cap,
    }


_c = quota_bucket.c
_PRIOR = bindparam("new_prior", type_=BigInteger)
_SEEDED = case((_c.seeds == 0, _PRIOR), else_=func.greatest(_c.prior, _PRIOR))
_IS_FIRST = bindparam("is_first", type_=Boolean)
_MAKE = insert(quota_bucket).on_conflict_do_nothing()
_SEED = (
    update(quota_bucket)
    .where(
        _c.bucket_id == bindparam("id", type_=Uuid),
        _c.window_start_ms == bindparam("start", type_=BigInteger),
        (_c.seeds == 0) == _IS_FIRST,
    )
    .values(
        rule=bindparam("named_rule"),
        generation=bindparam("named_generation"),
        dimension_values=bindparam("named_values", type_=_c.dimension_values.type),
        window_end_ms=bindparam("end", type_=BigInteger),
        cap=bindparam("capped", type_=BigInteger),
        prior=_SEEDED,
        spent=_c.spent - _c.prior + _SEEDED,
        seed_time=func.coalesce(_c.seed_time, func.now()),
        seeds=_c.seeds + 1,
    )
)
_CHARGED = text(
    "SELECT b.bucket_id, b.window_start_ms, b.charged_cost_nano_usd FROM quota_bucket b"
    " JOIN unnest(CAST(:key_ids AS uuid[]), CAST(:windows AS bigint[])) AS k(bucket_id, window_start_ms)"
    " USING (bucket_id, window_start_ms)"
)
