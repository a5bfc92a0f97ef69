"""Authorities on a real database, by a configuration that tests write, and data planes that lease from them."""

import secrets
import uuid
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from controlplane.db.engine import Database
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.repository import QuotaRepository
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.service import QuotaService, QuotaSession, QuotaStores
from controlplane.quota.sessions.repository import SessionRepository
from controlplane.quota.situation import Sources
from tollway.config.v1 import resources_pb2 as pb
from tollway.kernel.rules import bucket_id
from tollway.quota.v1.quota_pb2 import Ask, Bucket, Grant, HeldLease, Hello, LeaseResponse, Return, Update

CAP = 1_000_000


def budget(amount: int = CAP, *, name: str = "budgets/b", **fields: Any) -> pb.Resource:
    values: dict[str, Any] = {"period": pb.BUDGET_PERIOD_MONTH, "generation": "g1", **fields}
    return pb.Resource(name=name, budget=pb.Budget(amount_nano_usd=amount, **values))


def limits(*of: pb.Limit, name: str = "rateLimits/r") -> pb.Resource:
    return pb.Resource(name=name, rate_limit=pb.RateLimit(generation="g1", limits=of))


def spell(rule: str = "budgets/b", limit: int = 0, *values: str, generation: str = "g1") -> Bucket:
    identity = bucket_id(rule, generation, limit, values)
    return Bucket(bucket_id=identity.bytes, rule=rule, generation=generation, limit=limit, values=values)


class Authority:
    """One control plane's part in quota; `resources` is its configuration."""

    def __init__(self, url: str, resources: dict[str, pb.Resource] | None = None) -> None:
        self.url = url
        self.resources = {} if resources is None else resources
        self.database = Database(url)
        database = self.database
        stores = QuotaStores(QuotaRepository(database), SessionRepository(database), SeedRepository(database, database))
        sources = Sources(uuid.uuid4, secrets.randbelow)
        self.service = QuotaService(stores, self.lookup, sources, QuotaMetrics(CollectorRegistry()))

    def configure(self, *resources: pb.Resource) -> None:
        self.resources.update((resource.name, resource) for resource in resources)

    def lookup(self, name: str) -> pb.Resource | None:
        return self.resources.get(name)

    async def close(self) -> None:
        await self.service.close()
        await self.database.close()


class Plane:
    """A data plane process with one stream."""

    def __init__(self, session: QuotaSession, service: QuotaService) -> None:
        self.session = session
        self.service = service
        self._sequence = 0

    @classmethod
    async def connect(
        cls, authority: Authority, *held: HeldLease, boot_id: int = 1, generation: int = 1, node: str = ""
    ) -> "Plane":
        hello = Hello(node=node or f"node-{boot_id}", boot_id=boot_id, generation=generation, held=held)
        return cls(await authority.service.introduce(hello), authority.service)

    async def send(self, *asks: Ask, returns: tuple[Return, ...] = ()) -> LeaseResponse:
        self._sequence += 1
        return await self.service.answer(self.session, Update(sequence=self._sequence, asks=asks, returns=returns))

    async def ask(self, bucket: Bucket, need: int, want: int = 0, lease_id: bytes = b"", has: int = 0) -> Grant:
        [grant] = (await self.send(Ask(bucket=bucket, need=need, want=want, lease_id=lease_id, has=has))).grants
        return grant

    async def give_back(self, grant: Grant, total: int, *, final: bool = False) -> None:
        back = Return(bucket_id=grant.bucket_id, lease_id=grant.lease_id, returned_total=total, final=final)
        await self.send(returns=(back,))


def held(bucket: Bucket, grant: Grant, granted: int, returned: int = 0) -> HeldLease:
    return HeldLease(
        bucket=bucket,
        lease_id=grant.lease_id,
        window_start_ms=grant.window_start_ms,
        granted_total=granted,
        returned_total=returned,
    )


async def bucket_row(url: str, bucket: Bucket | None = None) -> Any:
    """The row of a bucket, by default of the only one."""
    return await fetch_row(url, "SELECT * FROM quota_bucket WHERE $1::uuid IN (bucket_id, $2)", bucket)


async def fetch_row(url: str, statement: str, bucket: Bucket | None) -> Any:
    connection = await asyncpg.connect(url)
    try:
        wanted = uuid.UUID(int=0) if bucket is None else uuid.UUID(bytes=bucket.bucket_id)
        return await connection.fetchrow(statement, wanted, uuid.UUID(int=0))
    finally:
        await connection.close()


DRIFT = """
SELECT count(*) FROM quota_bucket b LEFT JOIN (
    SELECT bucket_id, window_start_ms,
        sum(greatest(0, granted - settled - returned)) FILTER (WHERE state < 4) AS escrow,
        sum(greatest(0, granted - settled - returned)) FILTER (WHERE state = 4) AS provisional
    FROM quota_lease GROUP BY 1, 2
) l USING (bucket_id, window_start_ms)
WHERE b.escrow <> coalesce(l.escrow, 0) OR b.provisional <> coalesce(l.provisional, 0)
"""


async def count_drift(url: str) -> int:
    """Buckets whose sums are not those of their leases."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(DRIFT))
    finally:
        await connection.close()
