"""Keep the rows of price books in a table of their own, where they never change."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLE = """
CREATE TABLE price_book_row (
    book text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    content jsonb NOT NULL,
    CONSTRAINT price_book_row_pkey PRIMARY KEY (book, position),
    CONSTRAINT price_book_row_id UNIQUE (book, id)
)
"""
_INDEX = "CREATE INDEX price_book_row_model ON price_book_row (book, provider, model, position)"
_REFUSE = """
CREATE FUNCTION refuse_price_book_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the prices of % never change; import another book', OLD.book;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER price_book_row_immutable BEFORE UPDATE ON price_book_row
    FOR EACH ROW EXECUTE FUNCTION refuse_price_book_change()
"""
# The one book there was before holds since ever. Its rows stood in its resource.
_MOVE_ROWS = """
INSERT INTO price_book_row (book, position, id, provider, model, content)
SELECT
    resource.name,
    row.position::integer,
    row.content->>'id',
    row.content->'price'->>'provider',
    split_part(substr(row.content->>'id', length(row.content->'price'->>'provider') + 2), '@', 1),
    row.content
FROM resource
CROSS JOIN LATERAL jsonb_array_elements(resource.spec->'prices') WITH ORDINALITY AS row (content, position)
WHERE resource.kind = 'PriceBook' AND resource.current AND NOT resource.deleted
"""
_DESCRIBE = r"""
UPDATE resource SET spec = jsonb_build_object(
    'source', coalesce(spec->>'source', ''),
    'digest', encode(sha256(convert_to(spec->>'prices', 'UTF8')), 'hex'),
    'price_count', jsonb_array_length(spec->'prices'),
    'model_count', (
        SELECT count(DISTINCT (provider, model)) FROM price_book_row WHERE price_book_row.book = resource.name
    ),
    'activations', jsonb_build_array(jsonb_build_object(
        'activate_time', to_char(create_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS.MS"Z"'),
        'principal', 'system'
    )),
    'distributed', true
)
WHERE kind = 'PriceBook' AND current AND NOT deleted AND spec ? 'prices'
"""
_RESTORE = """
UPDATE resource SET spec = jsonb_build_object('source', spec->'source', 'prices', (
    SELECT coalesce(jsonb_agg(content ORDER BY position), '[]') FROM price_book_row WHERE book = resource.name
))
WHERE kind = 'PriceBook' AND current AND NOT deleted
"""


def upgrade() -> None:
    for statement in (_TABLE, _INDEX, _REFUSE, _TRIGGER, _MOVE_ROWS, _DESCRIBE):
        op.execute(statement)


def downgrade() -> None:
    op.execute(_RESTORE)
    op.drop_table("price_book_row")
    op.execute("DROP FUNCTION refuse_price_book_change()")
