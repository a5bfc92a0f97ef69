from dataplane.errors import UpstreamError, UpstreamErrorKind

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
