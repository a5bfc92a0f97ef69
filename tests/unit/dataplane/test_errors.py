import pytest

from dataplane.errors import UpstreamBrokeOff, UpstreamError, UpstreamErrorKind, UpstreamRefused

SECRET = "sk-canary-0123456789"


def test_an_upstreams_words_lose_the_secret_wherever_they_repeat_it() -> None:
    error = UpstreamError(UpstreamErrorKind.INVALID, f"Bearer {SECRET}, {SECRET}", detail=f"<{SECRET}>")
    error.type, error.param, error.code = SECRET, f"a {SECRET}", None

    error.redact(SECRET)

    assert (error.message, error.detail) == ("Bearer ***, ***", "<***>")
    assert (error.type, error.param, error.code) == ("***", "a ***", None)


def test_without_a_secret_the_words_stay() -> None:
    error = UpstreamError(UpstreamErrorKind.INVALID, "as it was")
    error.redact("")

    assert error.message == "as it was"


@pytest.mark.parametrize(("is_foreign", "type_"), [(True, "invalid_request_error"), (False, "not_found_error")])
def test_clients_of_openais_format_are_told_types_of_no_other_one(is_foreign: bool, type_: str) -> None:
    error = UpstreamError(UpstreamErrorKind.INVALID, "no", status=404)
    error.type, error.is_foreign = "not_found_error", is_foreign
    for told in (UpstreamRefused(error), UpstreamBrokeOff(error, "no").in_stream()):
        assert (told.http_status, told.body()["error"]["type"]) == (404, type_)
