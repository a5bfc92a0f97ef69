"""Composes the rooms that own the configuration: their admin methods, and the feed to data planes."""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from controlplane.audit.handlers import audit_handlers
from controlplane.audit.log import AuditLog
from controlplane.authz import Handler
from controlplane.db.engine import Database
from controlplane.db.unit_of_work import ConfigStore
from controlplane.discovery.feed import ConfigFeed
from controlplane.discovery.fleet import Fleet
from controlplane.discovery.handlers import fleet_handlers
from controlplane.discovery.server import FeedServer
from controlplane.discovery.source import ConfigSource
from controlplane.keys.behaviour import KeyMint, VirtualKeyBehaviour
from controlplane.keys.handlers import key_handlers
from controlplane.keys.service import KeyService
from controlplane.ledger.metadata_keys.behaviour import MetadataKeyBehaviour
from controlplane.ledger.periods.api import period_handlers
from controlplane.ledger.producers.repository import ProducerProgress
from controlplane.ledger.rerating.adjustments import Rater
from controlplane.ledger.rerating.api import rerating_handlers
from controlplane.ledger.rerating.book import load_rater
from controlplane.ledger.rerating.repository import ReratingRepository
from controlplane.ledger.rerating.runs import ReratingRun
from controlplane.ledger.rerating.worker import ReratingWorker
from controlplane.prices.book import ensure_price_book
from controlplane.prices.handlers import price_book_handlers
from controlplane.prices.reading import PriceBookReader
from controlplane.quota.behaviour import RuleBehaviour
from controlplane.quota.checks.api import budget_check_handlers
from controlplane.quota.checks.repository import BudgetCheckRepository
from controlplane.quota.holdings.repository import HoldingRepository
from controlplane.quota.metrics import QuotaMetrics
from controlplane.quota.reading.handlers import quota_reading_handlers
from controlplane.quota.reading.repository import BucketRepository
from controlplane.quota.reaper.repository import ReaperRepository
from controlplane.quota.reaper.worker import Reaper
from controlplane.quota.repository import QuotaRepository
from controlplane.quota.seeds.repository import SeedRepository
from controlplane.quota.server import QuotaServer
from controlplane.quota.service import QuotaService, QuotaStores
from controlplane.quota.sessions.repository import SessionRepository
from controlplane.quota.situation import Sources
from controlplane.resources.behaviour import Behaviour, PlainBehaviour
from controlplane.resources.handlers import resource_handlers
from controlplane.resources.kinds import resource_kinds
from controlplane.resources.transaction import Transactor
from controlplane.secrets.behaviour import UpstreamBehaviour
from controlplane.secrets.checks import check_keys
from controlplane.secrets.vault import Vault
from tollway.kernel.subjects import USAGE_STREAM
from tollway.resources.budgets import budget_counts
from tollway.resources.kinds import BUDGET, METADATA_KEY, RATE_LIMIT, UPSTREAM, VIRTUAL_KEY
from tollway.resources.project import project_key_pepper
from tollway.resources.rate_limits import rate_limit_counts


@dataclass(frozen=True, slots=True)
class ConfigSecrets:
    """Keys of this installation. `environ` is what `env:` references of virtual keys read."""

    encryption_key: str = field(repr=False)
    key_pepper: str = field(repr=False)
    plane_token: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConfigRooms:
    """`feed.run`, `fleet.run`, `rerating.run`, `quota.run` and `reaper.run` are tasks for the life of the process.

    `server.register` adds the feed to gRPC, `quota.register` the lease service.
    """

    config: ConfigStore
    vault: Vault
    pepper: bytes = field(repr=False)
    handlers: Mapping[str, Handler]
    feed: ConfigFeed
    fleet: Fleet
    server: FeedServer
    rerating: ReratingWorker
    quota: QuotaServer
    reaper: Reaper

    async def prepare(self) -> None:
        """To be called once the schema is there, before anything is served.

        Raises KeyMismatch when a key is not the one that the database was written with, Unavailable when it is away.
        """
        await check_keys(self.config, self.vault, self.pepper)
        await ensure_price_book(self.config)


def open_config_rooms(
    database: Database,
    secret: ConfigSecrets,
    *,
    patient: Database | None = None,
    notify: bool = True,
    observe_applied_s: Callable[[float], None] = lambda _: None,
    registry: CollectorRegistry | None = None,
) -> ConfigRooms:
    """Builds the rooms; nothing is read from the database yet. `observe_applied_s` is as in FeedServer.

    What takes its time to read is read through `patient`, which is the same database with a longer timeout.

    Metrics of quota are in `registry`.
    """
    config = ConfigStore(database, notify=notify)
    vault = Vault(secret.encryption_key)
    pepper = secret.key_pepper.encode()
    mint = KeyMint(pepper, secret.environ, secrets.randbelow)
    feed = ConfigFeed(database, ConfigSource(config, vault).refresh)
    fleet = Fleet(database, config.now)
    server = FeedServer(
        feed,
        fleet,
        key_pepper=project_key_pepper(pepper),
        plane_token=secret.plane_token,
        observe_applied_s=observe_applied_s,
        ledger=ProducerProgress(database, USAGE_STREAM),
    )
    rerating = rerating_worker(config)
    handlers = config_handlers(config, vault, mint, rerating.wake)
    metrics = QuotaMetrics(registry or CollectorRegistry())
    seeds = SeedRepository(database, patient or database)
    stores = QuotaStores(QuotaRepository(database), SessionRepository(database), seeds)
    quota = open_quota(stores, HoldingRepository(database), feed, secret.plane_token, metrics)
    reaper = Reaper(ReaperRepository(database), seeds, feed.resource, metrics)
    return ConfigRooms(config, vault, pepper, handlers, feed, fleet, server, rerating, quota, reaper)


def open_quota(
    stores: QuotaStores, holdings: HoldingRepository, feed: ConfigFeed, plane_token: str, metrics: QuotaMetrics
) -> QuotaServer:
    """The lease service, by the configuration that `feed` has."""
    service = QuotaService(stores, feed.resource, Sources(new_lease_id, secrets.randbelow), metrics)
    return QuotaServer(
        service,
        holdings,
        metrics,
        plane_token=plane_token,
        is_loaded=lambda: feed.state is not None,
    )


def new_lease_id() -> uuid.UUID:
    """UUIDv7: lease ids of one time lie together in the database."""
    return uuid.UUID(int=time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | 0b10 << 62 | secrets.randbits(62))


def rerating_worker(config: ConfigStore) -> ReratingWorker:
    """Works on re-rating runs by the price books of the configuration."""

    async def load(run: ReratingRun) -> Rater:
        return await load_rater(config, run.price_book, run.config_revision)

    return ReratingWorker(ReratingRepository(config.database), load, config.now)


def config_handlers(
    config: ConfigStore, vault: Vault, mint: KeyMint, wake_rerating: Callable[[], None]
) -> dict[str, Handler]:
    """Handlers of the services of every kind, and of limits, prices, re-rating, periods, manifests, audit, the fleet.

    `wake_rerating` says that a run of re-rating has work to do.
    """
    keys = VirtualKeyBehaviour(mint)
    behaviours: dict[str, Behaviour] = {
        VIRTUAL_KEY.name: keys,
        UPSTREAM.name: UpstreamBehaviour(vault),
        METADATA_KEY.name: MetadataKeyBehaviour(),
        RATE_LIMIT.name: RuleBehaviour(rate_limit_counts),
        BUDGET.name: RuleBehaviour(budget_counts),
    }
    kinds = resource_kinds(lambda name: behaviours.get(name, PlainBehaviour()))
    transactor = Transactor(config, vault)
    standard = resource_handlers(config, transactor, kinds)
    return {
        **standard,
        **quota_reading_handlers(config, BucketRepository(config.database), standard),
        **budget_check_handlers(BudgetCheckRepository(config.database), AuditLog(config)),
        **key_handlers(KeyService(kinds[VIRTUAL_KEY.name], keys), transactor),
        **price_book_handlers(PriceBookReader(config), transactor),
        **audit_handlers(config),
        **fleet_handlers(config, config.now),
        **rerating_handlers(config, transactor, wake_rerating),
        **period_handlers(config, transactor),
    }
