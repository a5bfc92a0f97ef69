"""Fold days that are over, keep sums and latencies of single dimensions, and when metadata keys were declared."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_USAGE_MARGINAL = """
CREATE TABLE usage_marginal (
    dimension text COLLATE "C" NOT NULL,
    span_s integer NOT NULL,
    slot timestamptz NOT NULL,
    value text COLLATE "C" NOT NULL,
    requests bigint NOT NULL,
    attempts bigint NOT NULL,
    refused bigint NOT NULL,
    errors bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    failed_cost_nano_usd bigint NOT NULL,
    adjustment_nano_usd bigint NOT NULL,
    state_reported bigint NOT NULL,
    state_estimated bigint NOT NULL,
    state_partial bigint NOT NULL,
    state_unpriced bigint NOT NULL,
    state_free bigint NOT NULL,
    state_cached bigint NOT NULL,
    state_not_billed bigint NOT NULL,
    CONSTRAINT usage_marginal_pkey PRIMARY KEY (dimension, span_s, slot, value)
)
"""
_USAGE_LATENCY_MARGINAL = """
CREATE TABLE usage_latency_marginal (
    dimension text COLLATE "C" NOT NULL,
    span_s integer NOT NULL,
    slot timestamptz NOT NULL,
    value text COLLATE "C" NOT NULL,
    bucket smallint NOT NULL,
    durations bigint NOT NULL,
    first_frames bigint NOT NULL,
    CONSTRAINT usage_latency_marginal_pkey PRIMARY KEY (dimension, span_s, slot, value, bucket)
)
"""
_LEDGER_METADATA_VALUE = """
CREATE TABLE ledger_metadata_value (
    day date NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    CONSTRAINT ledger_metadata_value_pkey PRIMARY KEY (day, key, value)
)
"""
# A key may be declared, dropped and declared again; sums made in between must be reproducible from entries.
_METADATA_PERIODS = """
ALTER TABLE ledger_metadata_key
    ADD COLUMN until timestamptz,
    DROP CONSTRAINT ledger_metadata_key_pkey,
    ADD CONSTRAINT ledger_metadata_key_pkey PRIMARY KEY (key, since)
"""


def upgrade() -> None:
    op.execute(_USAGE_MARGINAL)
    op.execute(_USAGE_LATENCY_MARGINAL)
    op.execute(_LEDGER_METADATA_VALUE)
    op.execute(_METADATA_PERIODS)
    op.execute("ALTER TABLE usage_day ADD COLUMN change_time timestamptz NOT NULL DEFAULT now()")


def downgrade() -> None:
    raise NotImplementedError("revision 0006 cannot be undone: restore the backup that was made before it")
