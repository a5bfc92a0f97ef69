"""Who calls the admin API: the bootstrap admin token, compared in constant time."""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Sequence

from controlplane.authz import AdminPrincipal
from controlplane.errors import Unauthenticated
from tollway.settings import Secret

BOOTSTRAP_PRINCIPAL = "bootstrap"
_LOG_INTERVAL_S = 10.0
_log = logging.getLogger("tollway.admin")


class TokenAuthenticator:
    """Turns an Authorization value into a principal.

    Without a token every call is refused. Refusals are logged as a rate, without what was presented.
    """

    def __init__(self, token: Secret | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._digest = None if token is None else _digest(token.reveal())
        self._clock = clock
        self._refused = 0
        self._logged_at: float | None = None

    def authenticate(self, authorizations: Sequence[str], peer: str) -> AdminPrincipal:
        """The principal that the request's Authorization values prove; Unauthenticated when they prove none."""
        try:
            return self._principal(authorizations)
        except Unauthenticated:
            self._note_refusal(peer)
            raise

    def _principal(self, authorizations: Sequence[str]) -> AdminPrincipal:
        if self._digest is None:
            raise Unauthenticated(
                "the admin API is closed: set TOLLWAY_ADMIN_TOKEN on the control plane and send it as "
                '"Authorization: Bearer TOKEN"'
            )
        if len(authorizations) != 1:
            problem = "is missing" if not authorizations else "is given more than once"
            raise Unauthenticated(f'the Authorization header {problem}; send "Authorization: Bearer TOKEN" once')
        scheme, _, presented = authorizations[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated('the Authorization header has another scheme; send "Authorization: Bearer TOKEN"')
        if not hmac.compare_digest(_digest(presented.strip()), self._digest):
            raise Unauthenticated("the admin token is not the one that the control plane knows (TOLLWAY_ADMIN_TOKEN)")
        return AdminPrincipal(BOOTSTRAP_PRINCIPAL)

    def _note_refusal(self, peer: str) -> None:
        self._refused += 1
        now = self._clock()
        if self._logged_at is None or now - self._logged_at >= _LOG_INTERVAL_S:
            _log.warning("admin calls refused count=%d last_peer=%s", self._refused, peer)
            self._refused, self._logged_at = 0, now


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
