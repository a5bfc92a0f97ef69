"""Which Google and Azure credentials an upstream asks for, and what errors mean."""

import pytest
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError

from dataplane.credentials import google
from dataplane.credentials.azure import EntraSource, azure_source
from dataplane.credentials.base import CredentialError, Identity
from dataplane.snapshot import Secret


@pytest.mark.parametrize("secret", ["key", "[]", "{}", '{"type": 1}'])
def test_google_secret_that_is_no_account_is_refused(secret: str) -> None:
    with pytest.raises(CredentialError, match="service account") as caught:
        google.google_source(Identity("google", "", Secret(secret)))
    assert caught.value.is_lasting


def test_google_account_that_lacks_members_is_told_so() -> None:
    source = google.google_source(
        Identity("google", "", Secret('{"type": "service_account", "private_key": "canary"}'))
    )
    with pytest.raises(ValueError, match="missing fields") as caught:
        source.acquire()
    problem = google.problem_of(caught.value)
    assert "malformed" in str(problem)
    assert problem.is_lasting


def refused_for(cause: Exception) -> RefreshError:
    error = RefreshError("canary")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words", "is_lasting"),
    [
        (TransportError("canary"), "cannot reach", False),
        (RefreshError("canary", {"error": "invalid_grant"}), "invalid_grant", True),
        (RefreshError("canary", {"error": "internal_failure"}, retryable=True), "internal_failure", False),
        (RefreshError("canary"), "unknown", True),
        (refused_for(TransportError("canary")), "cannot reach", False),
        (DefaultCredentialsError("canary"), "finds no Google credentials", True),
        (GoogleAuthError("canary"), "GoogleAuthError", True),
        (KeyError("canary"), "KeyError", False),
    ],
)
def test_google_errors_are_told_in_own_words(error: Exception, words: str, is_lasting: bool) -> None:
    problem = google.problem_of(error)
    assert words in str(problem)
    assert "canary" not in str(problem)
    assert problem.is_lasting is is_lasting


def test_entra_secret_needs_to_say_whose_it_is() -> None:
    with pytest.raises(CredentialError, match="tenant_id and client_id"):
        azure_source(Identity("azure", "", Secret("s"), (("client_id", "c"),)))


@pytest.mark.parametrize(
    "identity",
    [
        Identity("azure", "", Secret("")),
        Identity("azure", "", Secret("s"), (("tenant_id", "t"), ("client_id", "c"))),
    ],
)
def test_entra_is_asked(identity: Identity) -> None:
    assert isinstance(azure_source(identity), EntraSource)
