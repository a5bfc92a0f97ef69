"""Nothing of a secret is in what is shown of these objects, or in what is told of errors of the clouds' libraries."""

from collections.abc import Callable

import pytest
from botocore import exceptions as botocore
from google.auth.exceptions import RefreshError, TransportError

from dataplane.credentials import aws, azure, google
from dataplane.credentials.account import Account
from dataplane.credentials.base import Credential, CredentialError, CredentialSource, Identity, KnownSource
from dataplane.credentials.keeper import CLOUDS
from dataplane.snapshot import Secret

CANARY = "canary-7f3a"
KEYS = f"AKIA1:{CANARY}:{CANARY}-token"
REGION = "eu-central-1"


def identity(cloud: str, secret: str, **options: str) -> Identity:
    return Identity(cloud, REGION, Secret(secret), tuple(options.items()))


@pytest.mark.parametrize(
    "asked",
    [
        identity("aws", KEYS),
        identity("aws", KEYS, role_arn="arn:r"),
        identity("aws", f"ABSK{CANARY}"),
        identity("aws", CANARY, auth="bearer"),
        identity("google", f'{{"type": "service_account", "private_key": "{CANARY}"}}'),
        identity("azure", CANARY, tenant_id="t", client_id="c"),
    ],
)
def test_sources_and_accounts_show_no_secret(asked: Identity) -> None:
    source: CredentialSource = CLOUDS[asked.cloud].source(asked)
    credential: Credential | None = None
    if isinstance(source, (aws.KeysSource, KnownSource)):
        credential = source.acquire()
    assert CANARY not in repr((source, credential, Account(asked, source=source, credential=credential)))


@pytest.mark.parametrize(
    "read",
    [
        lambda: aws.parse_keys(CANARY),
        lambda: aws.parse_keys(f'{{"access_key_id": "{CANARY}"'),
        lambda: aws.parse_keys(f'{{"access_key_id": 1, "secret_access_key": "{CANARY}"}}'),
        lambda: google.google_source(identity("google", f'{{"type": "{CANARY}')),
        lambda: azure.azure_source(identity("azure", CANARY)),
    ],
)
def test_secrets_that_cannot_be_read_are_not_in_the_error_and_come_from_none_that_has_them(
    read: Callable[[], object],
) -> None:
    with pytest.raises(CredentialError) as caught:
        read()
    assert CANARY not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.parametrize(
    ("cloud", "error"),
    [
        ("aws", botocore.ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "AssumeRole")),
        ("aws", botocore.EndpointConnectionError(endpoint_url=CANARY)),
        ("aws", botocore.CredentialRetrievalError(provider="p", error_msg=CANARY)),
        ("aws", botocore.ParamValidationError(report=CANARY)),
        ("aws", botocore.ProfileNotFound(profile=CANARY)),
        ("aws", FileNotFoundError(2, CANARY, CANARY)),
        ("aws", RuntimeError(CANARY)),
        ("google", RefreshError(CANARY, {"error": "invalid_grant", "error_description": CANARY})),
        ("google", TransportError(CANARY)),
        ("google", ValueError(CANARY)),
    ],
)
def test_errors_of_libraries_are_told_without_their_words(cloud: str, error: Exception) -> None:
    problem = CLOUDS[cloud].problem(error)
    assert str(problem)
    assert CANARY not in str(problem) + repr(problem)
