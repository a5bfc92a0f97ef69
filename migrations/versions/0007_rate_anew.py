"""Keep re-rating runs with their differences, and the months that are closed."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_RUN = """
CREATE TABLE rerating_run (
    run_id uuid NOT NULL CONSTRAINT rerating_run_pkey PRIMARY KEY,
    principal text NOT NULL,
    create_time timestamptz NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    filter text NOT NULL,
    price_book text COLLATE "C" NOT NULL,
    config_revision bigint NOT NULL,
    state smallint NOT NULL,
    position uuid NOT NULL,
    examined_entries bigint NOT NULL,
    post_time timestamptz,
    post_principal text NOT NULL,
    finish_time timestamptz,
    failure text NOT NULL
)
"""
# States 1 and 3 are those of previewing and posting: the runs that are worked on.
_WORK = "CREATE INDEX rerating_run_work ON rerating_run (state, run_id) WHERE state IN (1, 3)"
_DIFFERENCE = """
CREATE TABLE rerating_difference (
    run_id uuid NOT NULL REFERENCES rerating_run,
    posted boolean NOT NULL,
    team text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    changed_entries bigint NOT NULL,
    newly_priced_entries bigint NOT NULL,
    newly_unpriced_entries bigint NOT NULL,
    closed_entries bigint NOT NULL,
    cost_before_nano_usd bigint NOT NULL,
    cost_after_nano_usd bigint NOT NULL,
    closed_difference_nano_usd bigint NOT NULL,
    CONSTRAINT rerating_difference_pkey PRIMARY KEY (run_id, posted, team, model)
)
"""
_CLOSED_MONTH = """
CREATE TABLE ledger_closed_month (
    month date NOT NULL CONSTRAINT ledger_closed_month_pkey PRIMARY KEY,
    close_time timestamptz NOT NULL,
    principal text NOT NULL,
    attempts bigint NOT NULL,
    cost_nano_usd bigint NOT NULL
)
"""


def upgrade() -> None:
    for statement in (_RUN, _WORK, _DIFFERENCE, _CLOSED_MONTH):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("revision 0007 cannot be undone: adjustments in the ledger name their runs")
