"""Keep alerts of budgets, with the state of their delivery."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ALERT = """
CREATE TABLE budget_alert (
    alert_id uuid NOT NULL CONSTRAINT budget_alert_pkey PRIMARY KEY,
    budget text COLLATE "C" NOT NULL,
    budget_uid uuid NOT NULL,
    bucket_id uuid NOT NULL,
    bucket_group jsonb NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz,
    threshold_percent integer NOT NULL,
    amount_nano_usd bigint NOT NULL,
    spent_nano_usd bigint NOT NULL,
    create_time timestamptz NOT NULL,
    standing boolean NOT NULL,
    body bytea NOT NULL,
    state smallint NOT NULL,
    attempts integer NOT NULL,
    give_up_time timestamptz NOT NULL,
    reason text NOT NULL,
    last_attempt_time timestamptz,
    next_attempt_time timestamptz,
    deliver_time timestamptz,
    receiver_digest bytea NOT NULL,
    claim_end_time timestamptz
)
"""
# What was told of a bucket, and the guard against telling it twice.
_TOLD = """
CREATE INDEX budget_alert_told ON budget_alert (budget_uid, bucket_id, window_start, threshold_percent)
"""
_STANDING = """
CREATE UNIQUE INDEX budget_alert_standing ON budget_alert (budget_uid, bucket_id, window_start, threshold_percent)
WHERE standing
"""
_DUE = "CREATE INDEX budget_alert_due ON budget_alert (next_attempt_time) WHERE next_attempt_time IS NOT NULL"
_CLAIMED = "CREATE INDEX budget_alert_claimed ON budget_alert (budget_uid) WHERE claim_end_time IS NOT NULL"
_NEWEST = "CREATE INDEX budget_alert_newest ON budget_alert (create_time, alert_id)"
_NEWEST_OF_BUDGET = "CREATE INDEX budget_alert_newest_of_budget ON budget_alert (budget, create_time, alert_id)"
_ENDED = "CREATE INDEX budget_alert_ended ON budget_alert (window_end)"


def upgrade() -> None:
    for statement in (_ALERT, _TOLD, _STANDING, _DUE, _CLAIMED, _NEWEST, _NEWEST_OF_BUDGET, _ENDED):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE budget_alert")
