"""Seeds buckets from the ledger, under their locks; see `seeding.py`."""

from sqlalchemy import BigInteger, Uuid, bindparam, func, update
from sqlalchemy.dialects.postgresql import insert

from controlplane.db.engine import Database
from controlplane.ledger.costs.repository import CostQuery, read_costs
from controlplane.quota.repository import bucket_values, lock_buckets
from controlplane.quota.rows import BucketRow, BucketSpec
from controlplane.quota.seeding import Seeding
from controlplane.quota.tables import quota_bucket


class SeedRepository:
    """Raises Unavailable while the database is away, or where the ledger takes too long to read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seed(self, seeding: Seeding) -> None:
        """Makes the buckets that are missing, and counts in what the ledger holds for them; may be repeated.

        Bookings that charge these buckets wait meanwhile.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_MAKE, [_new(spec) for spec in seeding.specs])
        async with self._database.transaction() as connection:
            await lock_buckets(connection, [spec.key for spec in seeding.specs])
            query = CostQuery(seeding.start, seeding.end, seeding.entry_dimensions, seeding.equal)
            sums = seeding.sums(await read_costs(connection, query))
            ends = {spec.key: spec for spec in seeding.specs}
            rows = [
                {"id": key.bucket_id, "start": key.window_start_ms, "held": held, **_named(ends[key])}
                for key, held in sorted(sums.items())
            ]
            await connection.execute(_SEED, rows)


def _new(spec: BucketSpec) -> dict[str, object]:
    return bucket_values(BucketRow(spec.key, spec.name, spec.kind, spec.cap))


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
_HELD = bindparam("held", type_=BigInteger)
_MAKE = insert(quota_bucket).on_conflict_do_nothing()
_SEED = (
    update(quota_bucket)
    .where(_c.bucket_id == bindparam("id", type_=Uuid), _c.window_start_ms == bindparam("start", type_=BigInteger))
    .values(
        rule=bindparam("named_rule"),
        generation=bindparam("named_generation"),
        dimension_values=bindparam("named_values", type_=_c.dimension_values.type),
        window_end_ms=bindparam("end", type_=BigInteger),
        cap=bindparam("capped", type_=BigInteger),
        prior=_HELD - _c.charged_cost_nano_usd,
        spent=_c.spent - _c.prior + _HELD - _c.charged_cost_nano_usd,
        seed_time=func.coalesce(_c.seed_time, func.now()),
        seeds=_c.seeds + 1,
    )
)
