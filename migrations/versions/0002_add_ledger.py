"""Add the ledger: entries by day, sums by quarter hour, dead letters."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LEDGER_ENTRY = """
CREATE TABLE ledger_entry (
    event_id uuid NOT NULL,
    boot_id bigint NOT NULL,
    sequence bigint NOT NULL,
    request_id uuid NOT NULL,
    client_request_id text NOT NULL,
    attempt integer NOT NULL,
    final boolean NOT NULL,
    team text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    key_owner text COLLATE "C" NOT NULL,
    end_user text COLLATE "C" NOT NULL,
    metadata jsonb NOT NULL,
    operation text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    upstream_model text COLLATE "C" NOT NULL,
    response_model text COLLATE "C" NOT NULL,
    stream boolean NOT NULL,
    start_time timestamptz NOT NULL,
    first_frame_time timestamptz,
    end_time timestamptz,
    status integer NOT NULL,
    error_code text COLLATE "C" NOT NULL,
    client_gone boolean NOT NULL,
    meters jsonb NOT NULL,
    state smallint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    price text COLLATE "C" NOT NULL,
    price_revision bigint NOT NULL,
    traceparent text NOT NULL,
    booked_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_entry_pkey PRIMARY KEY (event_id)
) PARTITION BY RANGE (event_id)
"""

_USAGE_ROLLUP = """
CREATE TABLE usage_rollup (
    quarter_start timestamptz NOT NULL,
    team text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,
    upstream_model text COLLATE "C" NOT NULL,
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
    state_reported bigint NOT NULL,
    state_estimated bigint NOT NULL,
    state_partial bigint NOT NULL,
    state_unpriced bigint NOT NULL,
    state_free bigint NOT NULL,
    state_cached bigint NOT NULL,
    state_not_billed bigint NOT NULL,
    CONSTRAINT usage_rollup_pkey
        PRIMARY KEY (quarter_start, team, key, requested_model, provider, upstream, upstream_model)
) WITH (fillfactor = 70)
"""

_LEDGER_DEAD_LETTER = """
CREATE TABLE ledger_dead_letter (
    subject text COLLATE "C" NOT NULL,
    stream_sequence bigint NOT NULL,
    event_index integer NOT NULL,
    payload_digest bytea NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    deliveries bigint NOT NULL,
    first_time timestamptz NOT NULL DEFAULT now(),
    last_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_dead_letter_pkey PRIMARY KEY (subject, stream_sequence, event_index, payload_digest)
)
"""


def upgrade() -> None:
    op.execute(_LEDGER_ENTRY)
    op.execute("CREATE TABLE ledger_entry_default PARTITION OF ledger_entry DEFAULT")
    op.execute("CREATE INDEX ledger_entry_request ON ledger_entry (request_id)")
    op.execute("CREATE INDEX ledger_entry_team_call ON ledger_entry (team, request_id) WHERE final")
    op.execute(_USAGE_ROLLUP)
    op.execute(_LEDGER_DEAD_LETTER)


def downgrade() -> None:
    op.execute("DROP TABLE ledger_dead_letter")
    op.execute("DROP TABLE usage_rollup")
    op.execute("DROP TABLE ledger_entry")
