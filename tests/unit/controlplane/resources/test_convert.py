"""What the audit log shows of a resource."""

import uuid
from datetime import UTC, datetime

from controlplane.resources.convert import resource_to_audit
from controlplane.resources.rows import StoredResource

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def test_the_address_of_a_webhook_is_a_secret() -> None:
    url = "https://hooks.slack.example/services/T0/B0/secret?x=secret"
    row = StoredResource(
        kind="Budget",
        name="budgets/b",
        uid=uuid.UUID(int=1),
        spec={"amount_usd": "5.00", "alerts": {"webhook_url": url}},
        labels={},
        refs=(),
        claim=None,
        etag="e",
        revision=1,
        create_time=NOW,
        update_time=NOW,
    )
    shown = resource_to_audit(row)
    assert shown["alerts"] == {"webhook_url": "https://hooks.slack.example/..."}
    assert shown["amount_usd"] == "5.00"
