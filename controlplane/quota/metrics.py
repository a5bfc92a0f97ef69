"""What the authority tells about itself; labels are kinds and reasons, never names."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.quota.rows import Kind
from tollway.quota.v1.quota_pb2 import GRANT_RESULT_EXHAUSTED, GRANT_RESULT_UNKNOWN, LeaseResponse, Update

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class QuotaMetrics:
    """Families of one process, and sums over the database as this process last read them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._asks = Counter("tollway_quota_asks", "Asks of data planes for more of a bucket.", registry=registry)
        self._refusals = Counter(
            "tollway_quota_refusals",
            "Asks that got nothing: spent, reserved by running calls and held by others, or of an unknown rule.",
            ["reason"],
            registry=registry,
        )
        self._recalls = Counter("tollway_quota_recalls", "Leases that were asked back.", registry=registry)
        self._seconds = Histogram(
            "tollway_quota_update_seconds", "From an Update to its answer.", registry=registry, buckets=_SECONDS
        )
        self._streams = Gauge("tollway_quota_streams", "Data planes that lease from this process.", registry=registry)
        self._escrow = Gauge("tollway_quota_escrow", "Held by leases: nano-USD or slots.", ["kind"], registry=registry)
        self._suspense = Gauge(
            "tollway_quota_suspense_nano_usd", "Held for data planes that are gone.", registry=registry
        )
        self._gap = Gauge(
            "tollway_quota_accounting_gap_nano_usd",
            "Counted as spent because a data plane is gone and its usage did not come; should be 0.",
            registry=registry,
        )

    def answered(self, update: Update, response: LeaseResponse, duration_s: float) -> None:
        self._asks.inc(len(update.asks))
        self._seconds.observe(duration_s)
        self.recalled(len(response.recalls))
        for grant in response.grants:
            if grant.result == GRANT_RESULT_UNKNOWN:
                self._refusals.labels("unknown").inc()
            elif grant.result == GRANT_RESULT_EXHAUSTED:
                self._refusals.labels("reserved" if grant.is_reserved else "spent").inc()

    def recalled(self, number: int) -> None:
        self._recalls.inc(number)

    def set_streams(self, number: int) -> None:
        self._streams.set(number)

    def set_sums(self, escrow: dict[Kind, int], suspense_nano_usd: int, gap_nano_usd: int) -> None:
        """As of one look at the database."""
        for kind in (Kind.BUDGET, Kind.SLOTS):
            self._escrow.labels(kind.name.lower()).set(escrow.get(kind, 0))
        self._suspense.set(suspense_nano_usd)
        self._gap.set(gap_nano_usd)
