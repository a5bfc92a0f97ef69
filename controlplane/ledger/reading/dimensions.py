"""What usage can be summed and filtered by. Pure."""

METADATA_PREFIX = "metadata."
MAX_METADATA_NAME = 128
ROLLUP_DIMENSIONS = ("team", "user", "key", "model", "route", "provider", "upstream", "upstream_model")
USAGE_DIMENSIONS = (*ROLLUP_DIMENSIONS, "end_user")
RECORD_DIMENSIONS = (*USAGE_DIMENSIONS, "error_code", "state", "status")
NUMERIC_DIMENSIONS = frozenset({"status"})
_COLUMNS = {"user": "key_owner", "model": "requested_model"}
_COLLECTIONS = {"team": "teams", "upstream": "upstreams", "route": "routes"}


def column_of(dimension: str) -> str:
    """The column of entries, and for ROLLUP_DIMENSIONS of groups, that holds a dimension other than metadata."""
    return _COLUMNS.get(dimension, dimension)


def collection_of(dimension: str) -> str:
    """The collection whose names the values of a dimension are: "teams"; "" where they are shown as they are."""
    return _COLLECTIONS.get(dimension, "")


def metadata_key_of(dimension: str) -> str:
    """ "app" of "metadata.app"; "" of any other dimension."""
    return dimension.removeprefix(METADATA_PREFIX) if dimension.startswith(METADATA_PREFIX) else ""


def is_dimension(name: str, known: tuple[str, ...]) -> bool:
    """Whether `name` is one of `known` or names a metadata key."""
    return name in known or 0 < len(metadata_key_of(name)) <= MAX_METADATA_NAME


def dimension_names(known: tuple[str, ...]) -> str:
    """All of them, for messages."""
    return ", ".join((*known, "metadata.NAME"))
