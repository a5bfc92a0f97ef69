"""Sum usage by group in three spans, with latencies; keep adjustments, producers, and what reports are declared."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ENTRY_COLUMNS = """
ALTER TABLE ledger_entry
    ADD COLUMN service_tier text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN basis smallint NOT NULL DEFAULT 0,
    ADD COLUMN call_start_time timestamptz,
    ADD COLUMN input_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN output_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN cache_read_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN cache_write_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN reasoning_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN duration_bucket smallint,
    ADD COLUMN first_frame_bucket smallint,
    ADD COLUMN adjusts uuid,
    ADD COLUMN run_id uuid,
    ADD COLUMN prior_state smallint
"""
# Growth of a latency bucket, and the first one's lower bound in microseconds, as controlplane.ledger.latency has them.
_GROWTH, _FIRST_US, _LAST_BUCKET = "1.1", "100", 200
_BUCKET = (
    "greatest(0, least({last}, floor(ln(greatest(1, extract(epoch from ({end}) - start_time) * 1000000)"
    " / {first}) / ln({growth}))))::smallint"
)


def _bucket(end: str) -> str:
    return _BUCKET.format(end=end, last=_LAST_BUCKET, first=_FIRST_US, growth=_GROWTH)


def _meter(*words: str) -> str:
    return " + ".join(f"coalesce((meters->>'{word}')::bigint, 0)" for word in words)


_FILL_ENTRIES = f"""
UPDATE ledger_entry SET
    basis = CASE state WHEN 7 THEN 0 WHEN 2 THEN 2 WHEN 3 THEN 3 ELSE 1 END,
    call_start_time = start_time,
    input_tokens =
        {_meter("input", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio", "cache_read_audio")},
    output_tokens = {_meter("output", "output_audio")},
    cache_read_tokens = {_meter("cache_read", "cache_read_audio")},
    cache_write_tokens = {_meter("cache_write_5m", "cache_write_1h")},
    reasoning_tokens = {_meter("reasoning")},
    duration_bucket = CASE WHEN final AND attempt > 0 AND end_time IS NOT NULL THEN {_bucket("end_time")} END,
    first_frame_bucket =
        CASE WHEN final AND attempt > 0 AND first_frame_time IS NOT NULL THEN {_bucket("first_frame_time")} END
"""

_USAGE_GROUP = """
CREATE TABLE usage_group (
    group_id uuid NOT NULL CONSTRAINT usage_group_pkey PRIMARY KEY,
    team text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    key_owner text COLLATE "C" NOT NULL,
    requested_model text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,
    upstream_model text COLLATE "C" NOT NULL,
    labels jsonb NOT NULL
)
"""

_USAGE_ROLLUP = """
CREATE TABLE usage_rollup (
    span_s integer NOT NULL,
    slot timestamptz NOT NULL,
    group_id uuid NOT NULL,
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
    CONSTRAINT usage_rollup_pkey PRIMARY KEY (span_s, slot, group_id)
) PARTITION BY LIST (span_s)
"""

_USAGE_LATENCY = """
CREATE TABLE usage_latency (
    span_s integer NOT NULL,
    slot timestamptz NOT NULL,
    group_id uuid NOT NULL,
    bucket smallint NOT NULL,
    durations bigint NOT NULL,
    first_frames bigint NOT NULL,
    CONSTRAINT usage_latency_pkey PRIMARY KEY (span_s, slot, group_id, bucket)
) PARTITION BY LIST (span_s)
"""

_SPANS_S = (900, 3600, 86400)

_OTHER_TABLES = (
    """
CREATE TABLE usage_day (
    day date NOT NULL CONSTRAINT usage_day_pkey PRIMARY KEY,
    folded boolean NOT NULL
)
""",
    """
CREATE TABLE ledger_producer (
    boot_id bigint NOT NULL CONSTRAINT ledger_producer_pkey PRIMARY KEY,
    booked int8multirange NOT NULL,
    first_time timestamptz NOT NULL DEFAULT now(),
    last_time timestamptz NOT NULL DEFAULT now()
)
""",
    """
CREATE TABLE ledger_stream_mark (
    stream text COLLATE "C" NOT NULL CONSTRAINT ledger_stream_mark_pkey PRIMARY KEY,
    drained_through timestamptz NOT NULL
)
""",
    """
CREATE TABLE ledger_detached_day (
    day date NOT NULL CONSTRAINT ledger_detached_day_pkey PRIMARY KEY,
    table_name text NOT NULL,
    entries bigint NOT NULL,
    cost_nano_usd numeric NOT NULL,
    detach_time timestamptz NOT NULL DEFAULT now()
)
""",
    """
CREATE TABLE ledger_metadata_key (
    key text COLLATE "C" NOT NULL CONSTRAINT ledger_metadata_key_pkey PRIMARY KEY,
    since timestamptz NOT NULL
)
""",
)

_STATES = ("reported", "estimated", "partial", "unpriced", "free", "cached", "not_billed")
_STATE_SUMS = ", ".join(
    f"count(*) FILTER (WHERE attempt > 0 AND state = {number})" for number, _ in enumerate(_STATES, 1)
)
_DIMENSIONS = "team, key, key_owner, requested_model, route, provider, upstream, upstream_model"
_FILL_GROUPED = f"""
CREATE TEMPORARY TABLE grouped_entry ON COMMIT DROP AS
SELECT e.*, date_bin('15 minutes', start_time, '1970-01-01 00:00Z') AS slot,
    encode(substring(sha256(convert_to(jsonb_build_array({_DIMENSIONS}, '{{}}'::jsonb)::text, 'UTF8'))
        FROM 1 FOR 16), 'hex')::uuid AS group_id
FROM ledger_entry e
"""
_FILL_GROUPS = f"""
INSERT INTO usage_group SELECT DISTINCT ON (group_id) group_id, {_DIMENSIONS}, '{{}}'::jsonb FROM grouped_entry
"""
_FILL_ROLLUPS = f"""
INSERT INTO usage_rollup SELECT 900, slot, group_id,
    count(*) FILTER (WHERE final AND attempt > 0), count(*) FILTER (WHERE attempt > 0),
    count(*) FILTER (WHERE attempt = 0), count(*) FILTER (WHERE final AND attempt > 0 AND status >= 400),
    sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens),
    sum(cost_nano_usd), coalesce(sum(cost_nano_usd) FILTER (WHERE NOT final OR status >= 400), 0), 0, {_STATE_SUMS}
FROM grouped_entry GROUP BY slot, group_id
"""
_FILL_LATENCIES = """
INSERT INTO usage_latency SELECT 900, slot, group_id, bucket, sum(duration), sum(first_frame) FROM (
    SELECT slot, group_id, duration_bucket AS bucket, 1 AS duration, 0 AS first_frame FROM grouped_entry
    WHERE duration_bucket IS NOT NULL
    UNION ALL
    SELECT slot, group_id, first_frame_bucket, 0, 1 FROM grouped_entry WHERE first_frame_bucket IS NOT NULL
) AS counted GROUP BY slot, group_id, bucket
"""
_FILL_PRODUCERS = """
INSERT INTO ledger_producer (boot_id, booked)
SELECT boot_id, range_agg(int8range(sequence, sequence, '[]')) FROM ledger_entry GROUP BY boot_id
"""


def upgrade() -> None:
    op.execute(_ENTRY_COLUMNS)
    op.execute(_FILL_ENTRIES)
    op.execute("ALTER TABLE ledger_entry ALTER COLUMN call_start_time SET NOT NULL")
    op.execute("CREATE INDEX ledger_entry_adjusts ON ledger_entry (adjusts) WHERE adjusts IS NOT NULL")
    op.execute("DROP TABLE usage_rollup")
    op.execute(_USAGE_GROUP)
    op.execute(_USAGE_ROLLUP)
    op.execute(_USAGE_LATENCY)
    for table in ("usage_rollup", "usage_latency"):
        for span_s in _SPANS_S:
            op.execute(
                f"CREATE TABLE {table}_{span_s} PARTITION OF {table} FOR VALUES IN ({span_s}) WITH (fillfactor = 70)"
            )
    for statement in _OTHER_TABLES:
        op.execute(statement)
    for statement in (_FILL_GROUPED, _FILL_GROUPS, _FILL_ROLLUPS, _FILL_LATENCIES, _FILL_PRODUCERS):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("revision 0003 cannot be undone: restore the backup that was made before it")
