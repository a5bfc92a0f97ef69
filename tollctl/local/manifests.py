"""Manifests that a stack applies to itself when it starts."""

import asyncio
import time
from collections.abc import Callable, Sequence

from tollctl.client import AdminClient
from tollctl.errors import CommandError
from tollctl.local.errors import ManifestsRefused, ServiceFailed
from tollctl.local.ports import LOOPBACK
from tollctl.local.probe import get_status
from tollctl.manifests import Document
from tollctl.submission import submit_documents
from tollctl.web import Address

_OK = 200
_KEY_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.02


async def apply_documents(
    admin_port: int, admin_token: str, documents: Sequence[Document], say: Callable[[str], None]
) -> list[str]:
    """Apply documents as one transaction, and say each secret that was made on the way, once; these secrets.

    Raises ManifestsRefused with all that is wrong.
    """
    if not documents:
        return []
    admin = AdminClient(Address("http", LOOPBACK, admin_port, ""), admin_token)
    try:
        results = await asyncio.to_thread(submit_documents, admin, documents, is_dry_run=False)
    except CommandError as error:
        raise ManifestsRefused(str(error)) from None
    made = [result for result in results if result.secret]
    for result in made:
        say(f"{result.name} has the secret {result.secret} (it is shown this once)")
    return [result.secret for result in made]


async def wait_for_key(api_port: int, key: str) -> None:
    """Wait until the data plane accepts key: config reaches it a moment after it was applied. Raises ServiceFailed."""
    deadline = time.monotonic() + _KEY_TIMEOUT_S
    while (status := await get_status(LOOPBACK, api_port, "/v1/models", key)) != _OK:
        if time.monotonic() >= deadline:
            raise ServiceFailed(
                f"the data plane answers {status} to a key that it should know: see the logs of both planes"
            )
        await asyncio.sleep(_POLL_INTERVAL_S)
