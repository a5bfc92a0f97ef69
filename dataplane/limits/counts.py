"""Counts of admission, and where they are shown."""

from dataplane.limits.buckets import Bucket
from dataplane.telemetry import Telemetry


class AdmissionCounts:
    """What rules said to calls, in the telemetry of this process.

    `admitted` calls fell under rules; of these, `running` have something reserved.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._family = telemetry.families.admissions
        self.admitted = 0
        self.running = 0

    def begin(self) -> None:
        """A call that falls under rules was admitted, and runs."""
        self.admitted += 1
        self.running += 1

    def end(self) -> None:
        """A call that was admitted is settled."""
        self.running -= 1

    def refused(self, bucket: Bucket, reason: str) -> None:
        self._family.labels(bucket.unit, "refused", reason).inc()

    def exceeded(self, bucket: Bucket) -> None:
        """A rule in audit mode would have refused a call."""
        self._family.labels(bucket.unit, "would_refuse", "exhausted").inc()
