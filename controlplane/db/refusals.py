"""Databases that cannot be used as they are told of: what the driver raises then, and how to name the place."""

from urllib.parse import urlsplit

import asyncpg

REFUSALS: tuple[type[Exception], ...] = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
    ValueError,
)
"""What connecting fails with until somebody corrects the URL or the server."""


def place_of(url: str) -> str:
    """Host, port and database of a libpq URL; a password with a "/" in it is no part of them."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}".rpartition("@")[2]
