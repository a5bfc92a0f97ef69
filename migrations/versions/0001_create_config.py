"""Create the configuration: resources, key digests, secrets, audit, repeated requests, data planes."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE config_head (
        id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
        epoch uuid NOT NULL,
        revision bigint NOT NULL CHECK (revision >= 0)
    )
    """,
    "INSERT INTO config_head (epoch, revision) VALUES (gen_random_uuid(), 0)",
    """
    CREATE TABLE resource (
        name text COLLATE "C" NOT NULL,
        revision bigint NOT NULL,
        kind text COLLATE "C" NOT NULL,
        uid uuid NOT NULL,
        etag text NOT NULL,
        spec jsonb NOT NULL,
        labels jsonb NOT NULL,
        refs text[] NOT NULL,
        claim text COLLATE "C",
        create_time timestamptz NOT NULL,
        update_time timestamptz NOT NULL,
        deleted boolean NOT NULL,
        current boolean NOT NULL,
        PRIMARY KEY (name, revision)
    )
    """,
    "CREATE UNIQUE INDEX resource_current ON resource (name) WHERE current",
    "CREATE INDEX resource_listed ON resource (kind, name) WHERE current AND NOT deleted",
    "CREATE INDEX resource_claimed ON resource (claim) WHERE current AND NOT deleted",
    "CREATE INDEX resource_referred ON resource USING gin (refs) WHERE current AND NOT deleted",
    "CREATE INDEX resource_changed ON resource (revision, name) WHERE current",
    """
    CREATE TABLE key_digest (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        key_name text COLLATE "C" NOT NULL,
        create_time timestamptz NOT NULL,
        expire_time timestamptz
    )
    """,
    "CREATE INDEX key_digest_key ON key_digest (key_name)",
    """
    CREATE TABLE secret (
        resource_name text COLLATE "C" NOT NULL,
        field text COLLATE "C" NOT NULL,
        resource_uid uuid NOT NULL,
        version integer NOT NULL,
        sealed bytea NOT NULL,
        PRIMARY KEY (resource_name, field)
    )
    """,
    """
    CREATE TABLE key_check (
        name text PRIMARY KEY,
        value bytea NOT NULL
    )
    """,
    """
    CREATE TABLE audit_event (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        time timestamptz NOT NULL,
        principal text NOT NULL,
        method text NOT NULL,
        resource text COLLATE "C" NOT NULL,
        revision bigint NOT NULL,
        before jsonb,
        after jsonb,
        request_id text NOT NULL
    )
    """,
    "CREATE INDEX audit_event_resource ON audit_event (resource, id)",
    """
    CREATE TABLE served_request (
        principal text NOT NULL,
        method text NOT NULL,
        request_id text NOT NULL,
        fingerprint bytea NOT NULL,
        sealed_response bytea NOT NULL,
        create_time timestamptz NOT NULL,
        PRIMARY KEY (principal, method, request_id)
    )
    """,
    "CREATE INDEX served_request_age ON served_request (create_time)",
    """
    CREATE TABLE data_plane (
        node text COLLATE "C" PRIMARY KEY,
        boot_id text NOT NULL,
        build text NOT NULL,
        connected boolean NOT NULL,
        epoch text NOT NULL,
        revision bigint NOT NULL,
        rejections jsonb NOT NULL,
        connect_time timestamptz NOT NULL,
        last_seen_time timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "data_plane",
        "served_request",
        "audit_event",
        "key_check",
        "secret",
        "key_digest",
        "resource",
        "config_head",
    ):
        op.drop_table(table)
