"""Keep what operating the ledger needs: dead letters by number, producers' gaps, checks, and replays from the tap."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
ALTER TABLE ledger_dead_letter
    ADD COLUMN letter_id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN boot_id bigint NOT NULL DEFAULT 0,
    ADD COLUMN sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN replays integer NOT NULL DEFAULT 0,
    ADD COLUMN discard_time timestamptz,
    ADD COLUMN discard_principal text NOT NULL DEFAULT '',
    ADD COLUMN discard_reason text NOT NULL DEFAULT ''
""",
    "CREATE UNIQUE INDEX ledger_dead_letter_id ON ledger_dead_letter (letter_id)",
    "CREATE INDEX ledger_dead_letter_event ON ledger_dead_letter (boot_id, sequence) WHERE boot_id > 0",
    "ALTER TABLE ledger_detached_day ADD COLUMN adjustments bigint NOT NULL DEFAULT 0",
    "CREATE INDEX ledger_entry_adjustment_time ON ledger_entry (start_time) WHERE adjusts IS NOT NULL",
    """
CREATE TABLE ledger_gap (
    boot_id bigint NOT NULL,
    missing int8range NOT NULL,
    seen_time timestamptz NOT NULL,
    CONSTRAINT ledger_gap_pkey PRIMARY KEY (boot_id, missing)
)
""",
    """
CREATE TABLE ledger_producer_horizon (
    is_only boolean NOT NULL DEFAULT true CHECK (is_only) CONSTRAINT ledger_producer_horizon_pkey PRIMARY KEY,
    forgotten_before timestamptz NOT NULL
)
""",
    """
CREATE TABLE ledger_check (
    is_only boolean NOT NULL DEFAULT true CHECK (is_only) CONSTRAINT ledger_check_pkey PRIMARY KEY,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    days integer NOT NULL DEFAULT 0,
    drifts bigint NOT NULL DEFAULT 0
)
""",
    """
CREATE TABLE ledger_replay (
    replay_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT ledger_replay_pkey PRIMARY KEY,
    since_time timestamptz NOT NULL,
    until_time timestamptz NOT NULL,
    principal text NOT NULL,
    request_time timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL,
    stream_created text NOT NULL DEFAULT '',
    next_sequence bigint NOT NULL DEFAULT 0,
    last_sequence bigint NOT NULL DEFAULT 0,
    tap_start_time timestamptz,
    messages bigint NOT NULL DEFAULT 0,
    inserted bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    end_time timestamptz,
    problem text NOT NULL DEFAULT '',
    worker uuid,
    lease_end timestamptz
)
""",
    "CREATE INDEX ledger_replay_open ON ledger_replay (replay_id) WHERE state IN ('pending', 'running')",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("revision 0005 cannot be undone: restore the backup that was made before it")
