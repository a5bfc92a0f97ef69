"""What upstreams share, what is put into requests, and what is never shown."""

import logging
from dataclasses import replace

import pytest

from dataplane.call import UpstreamRequest
from dataplane.credentials.base import (
    CredentialError,
    HeaderCredential,
    Identity,
    KnownSource,
    causes,
    needs_extra,
    put_headers,
    quiet,
    redact_sent,
    shown_code,
)
from dataplane.credentials.keeper import CLOUDS
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import UpstreamError, UpstreamErrorKind
from dataplane.snapshot import Secret
from tests.fakes.outcomes import UPSTREAM
from tollway.resources.providers import PROVIDERS

CANARY = "canary-7f3a"
AWS_PROVIDER = ProviderSpec("bedrock", credentials="aws")


def test_upstreams_that_say_the_same_are_one_identity() -> None:
    aws = CLOUDS["aws"]
    one = replace(UPSTREAM, id="one", region="eu-west-1", options={"role_arn": "arn:r", "other": "1"})
    two = replace(UPSTREAM, id="two", region="eu-west-1", options={"other": "2", "role_arn": "arn:r"})
    assert aws.identity(one, AWS_PROVIDER) == aws.identity(two, AWS_PROVIDER)
    assert hash(aws.identity(one, AWS_PROVIDER)) == hash(aws.identity(two, AWS_PROVIDER))


@pytest.mark.parametrize(
    "change", [{"region": "us-east-1"}, {"options": {"role_arn": "arn:other"}}, {"secret": Secret("other")}]
)
def test_upstreams_that_say_otherwise_are_not(change: dict[str, object]) -> None:
    aws = CLOUDS["aws"]
    one = replace(UPSTREAM, region="eu-west-1", options={"role_arn": "arn:r"})
    assert aws.identity(one, AWS_PROVIDER) != aws.identity(replace(one, **change), AWS_PROVIDER)  # type: ignore[arg-type]


def test_region_may_come_from_options_and_their_defaults() -> None:
    provider = ProviderSpec("bedrock", credentials="aws", options={"region": "us-west-2", "profile": ""})
    identity = CLOUDS["aws"].identity(UPSTREAM, provider)
    assert (identity.region, identity.options) == ("us-west-2", ())


def test_azure_counts_only_what_says_whose_token_it_is() -> None:
    upstream = replace(UPSTREAM, options={"auth": "entra", "client_id": "c"})
    identity = CLOUDS["azure"].identity(upstream, PROVIDERS["azure-openai"].at("m", upstream.options))
    assert identity == Identity("azure", "", UPSTREAM.secret, (("client_id", "c"),))


@pytest.mark.parametrize("options", [{}, {"auth": "Entra"}, {"api_version": "2024-10-21"}])
def test_azure_without_entra_needs_no_credential_but_its_key(options: dict[str, str]) -> None:
    row = PROVIDERS["azure-openai"].at("m", options)
    assert (row.credentials, row.auth) == ("", ("api-key", ""))


def test_headers_replace_others_however_they_are_spelt() -> None:
    request = UpstreamRequest("https://x/", {"Authorization": "old", "accept": "a"}, b"")
    put_headers(request, {"authorization": "new"})
    assert request.headers == {"accept": "a", "authorization": "new"}


def test_missing_library_is_an_error_that_names_the_extra() -> None:
    with pytest.raises(CredentialError, match=r"pip install 'tollway\[aws\]'") as caught, needs_extra("aws"):
        import a_library_that_nobody_has  # type: ignore[import-not-found]  # noqa: F401
    assert caught.value.is_lasting


def test_what_was_sent_is_taken_out_of_what_the_upstream_said() -> None:
    headers = {
        "authorization": "Bearer tok-1",
        "x-amz-security-token": "tok-2",
        "ocp-apim-subscription-key": "tok-3",
    }
    request = UpstreamRequest("https://x/", headers, b"")
    error = UpstreamError(UpstreamErrorKind.AUTH, "bad tok-1", detail="x-amz-security-token:tok-2, tok-3")
    redact_sent(error, request)
    assert "tok-" not in error.message + error.detail


def test_secrets_are_not_in_reprs() -> None:
    identity = Identity("aws", "r", Secret(CANARY))
    shown = repr((HeaderCredential.bearer(CANARY), KnownSource(HeaderCredential.bearer(CANARY)), identity))
    assert CANARY not in shown


def test_causes_name_kinds_and_never_texts() -> None:
    try:
        try:
            raise ValueError(CANARY)
        except ValueError as inner:
            raise OSError(CANARY) from inner
    except OSError as error:
        assert causes(error) == "OSError from ValueError"


@pytest.mark.parametrize(
    ("code", "shown"), [("AccessDenied", "AccessDenied"), ("a b\n<c>", "abc"), (None, "unknown"), ("", "unknown")]
)
def test_codes_are_cut_down(code: object, shown: str) -> None:
    assert shown_code(code) == shown


def test_libraries_are_kept_from_logging(caplog: pytest.LogCaptureFixture) -> None:
    library = "tests.a_cloud_library"
    quiet(library)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger(f"{library}.inside").critical(CANARY)
    assert caplog.records == []
