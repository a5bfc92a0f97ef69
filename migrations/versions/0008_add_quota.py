"""Add quota: buckets, leases and sessions, rates that need no log, and what usage charges to budgets."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BUCKET = """
CREATE TABLE quota_bucket (
    bucket_id uuid NOT NULL,
    window_start_ms bigint NOT NULL,
    kind smallint NOT NULL,
    rule text COLLATE "C" NOT NULL,
    generation text COLLATE "C" NOT NULL,
    limit_index integer NOT NULL,
    dimension_values text[] NOT NULL,
    cap bigint NOT NULL,
    spent bigint NOT NULL,
    escrow bigint NOT NULL,
    provisional bigint NOT NULL,
    prior bigint NOT NULL,
    charged_cost_nano_usd bigint NOT NULL,
    seed_time timestamptz,
    seeds smallint NOT NULL,
    starved_us bigint NOT NULL,
    window_end_ms bigint,
    change_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quota_bucket_pkey PRIMARY KEY (bucket_id, window_start_ms)
) WITH (fillfactor = 70)
"""
_LEASE = """
CREATE TABLE quota_lease (
    lease_id uuid NOT NULL CONSTRAINT quota_lease_pkey PRIMARY KEY,
    bucket_id uuid NOT NULL,
    window_start_ms bigint NOT NULL,
    node text COLLATE "C" NOT NULL,
    boot_id bigint NOT NULL,
    granted bigint NOT NULL,
    settled bigint NOT NULL,
    returned bigint NOT NULL,
    state smallint NOT NULL,
    expires_us bigint NOT NULL,
    change_time timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70)
"""
_SESSION = """
CREATE TABLE quota_session (
    boot_id bigint NOT NULL CONSTRAINT quota_session_pkey PRIMARY KEY,
    node text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    connected boolean NOT NULL,
    seen_time timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70)
"""
# A crash of the server empties both tables of rates: the mark that is gone tells of it. Nothing was lost so far.
_RATE = """
CREATE UNLOGGED TABLE quota_rate (
    bucket_id uuid NOT NULL CONSTRAINT quota_rate_pkey PRIMARY KEY,
    tat_us bigint NOT NULL,
    period_us bigint NOT NULL,
    holders bigint[] NOT NULL,
    earlier_holders integer NOT NULL
) WITH (fillfactor = 50)
"""
_RATE_MARK = """
CREATE UNLOGGED TABLE quota_rate_mark (
    is_only boolean NOT NULL DEFAULT true CONSTRAINT quota_rate_mark_pkey PRIMARY KEY CHECK (is_only),
    since_us bigint NOT NULL
)
"""
_GAP = """
CREATE TABLE quota_gap (
    lease_id uuid NOT NULL CONSTRAINT quota_gap_pkey PRIMARY KEY,
    bucket_id uuid NOT NULL,
    window_start_ms bigint NOT NULL,
    rule text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    boot_id bigint NOT NULL,
    amount_nano_usd bigint NOT NULL,
    open_time timestamptz NOT NULL DEFAULT now(),
    close_time timestamptz
)
"""
# Days that were detached and are kept are read together with the others.
_CHARGES_OF_DETACHED = """
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT table_name FROM ledger_detached_day LOOP
        EXECUTE format('ALTER TABLE IF EXISTS %I ADD COLUMN charges jsonb', name);
    END LOOP;
END $$
"""
# 5 is the state of closed leases: those that nothing looks for.
_INDEXES = (
    "CREATE INDEX quota_bucket_rule ON quota_bucket (rule, window_start_ms)",
    "CREATE INDEX quota_bucket_unsettled ON quota_bucket (seed_time) WHERE seeds IN (1, 2)",
    "CREATE INDEX quota_bucket_starved ON quota_bucket (starved_us) WHERE starved_us > 0",
    "CREATE INDEX quota_lease_bucket ON quota_lease (bucket_id, window_start_ms) WHERE state <> 5",
    "CREATE INDEX quota_lease_boot ON quota_lease (boot_id) WHERE state <> 5",
    "CREATE INDEX quota_lease_closed ON quota_lease (change_time) WHERE state = 5",
    "CREATE INDEX quota_session_node ON quota_session (node)",
)


def upgrade() -> None:
    for statement in (_BUCKET, _LEASE, _SESSION, _RATE, _RATE_MARK, _GAP, *_INDEXES):
        op.execute(statement)
    op.execute("INSERT INTO quota_rate_mark (since_us) VALUES (0)")
    op.execute("ALTER TABLE ledger_entry ADD COLUMN charges jsonb")
    op.execute(_CHARGES_OF_DETACHED)
    op.execute("ALTER TABLE ledger_producer ADD COLUMN complete_time timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE ledger_producer DROP COLUMN complete_time")
    op.execute("ALTER TABLE ledger_entry DROP COLUMN charges")
    for table in ("gap", "rate_mark", "rate", "session", "lease", "bucket"):
        op.execute(f"DROP TABLE quota_{table}")
