"""The bootstrap admin token."""

import logging

import pytest

from controlplane.authz import AdminPrincipal
from controlplane.errors import Unauthenticated
from controlplane.transport.authentication import TokenAuthenticator
from tollway.settings import Secret

TOKEN = "twa_0123456789abcdefghij"


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_token_proves_the_bootstrap_principal(header: str) -> None:
    assert TokenAuthenticator(Secret(TOKEN)).authenticate([header], "peer") == AdminPrincipal("bootstrap")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [TOKEN],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN}x"],
        [f"Bearer {TOKEN[:-1]}"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        ["Bearer \udcff\u00e9"],
    ],
)
def test_anything_else_is_refused_without_showing_it(headers: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unauthenticated) as caught:
        TokenAuthenticator(Secret(TOKEN)).authenticate(headers, "peer")
    assert TOKEN not in caught.value.message + caplog.text


def test_without_a_token_every_call_is_refused_and_the_variable_named() -> None:
    with pytest.raises(Unauthenticated, match="TOLLWAY_ADMIN_TOKEN"):
        TokenAuthenticator(None).authenticate([f"Bearer {TOKEN}"], "peer")


def test_refusals_are_logged_as_a_rate(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    authenticator = TokenAuthenticator(Secret(TOKEN), clock=lambda: now[0])
    caplog.set_level(logging.WARNING, "tollway.admin")
    for step in range(30):
        now[0] = step * 0.5
        with pytest.raises(Unauthenticated):
            authenticator.authenticate(["Bearer wrong"], "10.0.0.9")
    assert [record.getMessage() for record in caplog.records] == [
        "admin calls refused count=1 last_peer=10.0.0.9",
        "admin calls refused count=20 last_peer=10.0.0.9",
    ]
