"""Prometheus families of the consumer."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.ledger.booking import Booked, Parcel
from controlplane.ledger.checks.reports import LedgerState

_BATCH_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_LAG_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class ConsumerMetrics:
    """The families of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        events = Counter("tollway_ledger_events", "Usage events by what became of them.", ["result"], registry=registry)
        self._inserted = events.labels("inserted")
        self._duplicates = events.labels("duplicate")
        self._dead_letters = events.labels("dead_letter")
        self._batch = Histogram(
            "tollway_ledger_batch_seconds",
            "Time to book one transaction's messages.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._lag = Histogram(
            "tollway_ledger_lag_seconds",
            "From the end of the oldest call in a transaction to its commit.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._redelivered = Counter(
            "tollway_ledger_redelivered_messages", "Messages that had been delivered before.", registry=registry
        )
        self._retries = Counter(
            "tollway_ledger_retries", "Transactions that failed because the database was away.", registry=registry
        )
        self._pending = Gauge(
            "tollway_ledger_pending_messages", "Messages in the stream that are not booked yet.", registry=registry
        )
        self._strays = Gauge(
            "tollway_ledger_default_partition_entries", "Entries without a daily partition.", registry=registry
        )
        self._tap_lost = Counter(
            "tollway_ledger_tap_lost_messages", "Booked messages that the tap did not take.", registry=registry
        )
        self._late = Gauge(
            "tollway_ledger_late_entries", "Entries that came after their day was detached.", registry=registry
        )
        self._letters = Gauge(
            "tollway_ledger_dead_letters", "Dead letters that are neither booked nor set aside.", registry=registry
        )
        self._gaps = Gauge(
            "tollway_ledger_producer_gaps",
            "Ranges of events that the ledger misses for longer than 60 seconds.",
            registry=registry,
        )
        self._drift = Gauge(
            "tollway_ledger_drift_rows",
            "Rows of sums that are not what their entries add up to, by the last nightly check.",
            registry=registry,
        )
        self._checked = Gauge(
            "tollway_ledger_check_timestamp_seconds", "When the last nightly check ended.", registry=registry
        )

        self._folded_days = Counter("tollway_ledger_folded_days", "Days folded, late ones again.", registry=registry)
        self._metadata_values = Gauge(
            "tollway_ledger_metadata_values",
            "Values of a declared metadata key that have sums of their own today.",
            ["key"],
            registry=registry,
        )

    def booked(self, parcels: list[Parcel], booked: Booked, duration_s: float) -> None:
        """Count one transaction and observe its lag."""
        self._inserted.inc(booked.inserted)
        self._duplicates.inc(booked.duplicates)
        self._dead_letters.inc(booked.dead_letters)
        self._batch.observe(duration_s)
        self._redelivered.inc(sum(parcel.delivery.deliveries > 1 for parcel in parcels))
        ends = [entry.end_time_us for parcel in parcels for entry in parcel.entries if entry.end_time_us]
        if ends:
            self._lag.observe(max(0.0, time.time() - min(ends) / 1_000_000))

    def retried(self) -> None:
        self._retries.inc()

    def set_pending(self, messages: int) -> None:
        self._pending.set(messages)

    def folded(self, days: int) -> None:
        self._folded_days.inc(days)

    def set_metadata_values(self, numbers: Mapping[str, int]) -> None:
        """Of the keys that are declared now."""
        self._metadata_values.clear()
        for key, number in numbers.items():
            self._metadata_values.labels(key).set(number)

    def lost_copies(self, messages: int) -> None:
        self._tap_lost.inc(messages)

    def set_state(self, state: LedgerState) -> None:
        """Tell of the ledger as a whole; the last check that ended stays until another one has."""
        self._late.set(state.late_entries)
        self._letters.set(state.dead_letters)
        self._gaps.set(len(state.gaps))
        if state.check is not None and state.check.end_time is not None:
            self._drift.set(state.check.drifts)
            self._checked.set(state.check.end_time.timestamp())

    def set_strays(self, entries: int) -> None:
        self._strays.set(entries)
