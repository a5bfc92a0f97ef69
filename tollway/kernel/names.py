"""Resource names: `teams/growth`, `teams/growth/keys/ci`, `upstreams/openai`."""

import re

ID_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def is_resource_id(text: str) -> bool:
    return ID_PATTERN.fullmatch(text) is not None


def upstream_secret_name(upstream: str) -> str:
    """Name of the machine resource that holds the secret of `upstream`, a full name."""
    return f"{upstream}/secret"


def full_name(collection: str, reference: str) -> str:
    """The full name that `reference`, a bare id or already a full name of `collection`, stands for."""
    return reference if "/" in reference else f"{collection}/{reference}"


def bare_id(name: str) -> str:
    """The last part of a resource name; "" for ""."""
    return name.rpartition("/")[2]
