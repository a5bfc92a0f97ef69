"""Errors of a call, as clients see them.

GatewayError                  status  code
├── InvalidRequest             400    of the case at hand
├── BodyTooLarge               413    request_too_large
├── BodyTimeout                408    request_timeout
├── UnsupportedEncoding        415    unsupported_encoding
├── InvalidApiKey              401    invalid_api_key
├── ModelNotAllowed            403    model_not_allowed
├── ModelNotFound              404    model_not_found
├── UnknownUrl                 404    unknown_url
├── NotSupported               404    not_supported
├── MethodNotAllowed           405    method_not_allowed
├── BudgetExceeded             402    budget_exceeded
├── PriceUnknown               402    price_unknown
├── RateLimitExceeded          429    rate_limit_exceeded
├── LimitTooSmall              400    limit_too_small
├── QuotaUnavailable           503    quota_unavailable
├── NoTargetAvailable          503    no_target_available
├── Overloaded                 503    overloaded
├── UpstreamRefused            4xx    the upstream's own
├── UpstreamRateLimited        429    upstream_rate_limited
├── UpstreamFailed             502    upstream_error
│   └── UpstreamBrokeOff       502    upstream_error; the stream tells an UpstreamSaid
├── UpstreamSaid               told   the upstream's own, inside an answer that has begun
├── UpstreamTimeout            504    upstream_timeout
└── ClientGone                 499    client_closed_request (usage and logs only)

UpstreamError is how one attempt failed; the dispatcher decides on its kind, never on strings.
"""

from enum import Enum
from typing import Any, ClassVar, Final

from tollway.kernel.usage import Usage

_REDACTED: Final = "***"


class GatewayError(Exception):
    """Base. `message` is safe for clients: it names the object and the next step, and shows no internals."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers: dict[str, str] = {}

    @property
    def http_status(self) -> int:
        return self.status

    @property
    def error_code(self) -> str:
        return self.code

    def in_stream(self) -> "GatewayError":
        """The error as an answer that has begun tells it, where no status says what it is."""
        return self

    def body(self) -> dict[str, Any]:
        """The OpenAI-shaped error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.error_code}}


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, code: str = "invalid_request", param: str | None = None) -> None:
        super().__init__(message, param=param)
        self._code = code

    @property
    def error_code(self) -> str:
        return self._code


class BodyTooLarge(GatewayError):
    status, type, code = 413, "invalid_request_error", "request_too_large"


class BodyTimeout(GatewayError):
    status, type, code = 408, "invalid_request_error", "request_timeout"


class UnsupportedEncoding(GatewayError):
    status, type, code = 415, "invalid_request_error", "unsupported_encoding"


class InvalidApiKey(GatewayError):
    status, type, code = 401, "invalid_request_error", "invalid_api_key"


class ModelNotAllowed(GatewayError):
    status, type, code = 403, "invalid_request_error", "model_not_allowed"


class ModelNotFound(GatewayError):
    status, type, code = 404, "invalid_request_error", "model_not_found"


class UnknownUrl(GatewayError):
    status, type, code = 404, "invalid_request_error", "unknown_url"


class NotSupported(GatewayError):
    status, type, code = 404, "invalid_request_error", "not_supported"


class MethodNotAllowed(GatewayError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class BudgetExceeded(GatewayError):
    status, type, code = 402, "insufficient_quota", "budget_exceeded"


class PriceUnknown(GatewayError):
    status, type, code = 402, "insufficient_quota", "price_unknown"


class RateLimitExceeded(GatewayError):
    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"


class LimitTooSmall(GatewayError):
    status, type, code = 400, "invalid_request_error", "limit_too_small"


class QuotaUnavailable(GatewayError):
    status, type, code = 503, "server_error", "quota_unavailable"


class NoTargetAvailable(GatewayError):
    status, type, code = 503, "server_error", "no_target_available"


class Overloaded(GatewayError):
    status, type, code = 503, "server_error", "overloaded"


class UpstreamRefused(GatewayError):
    """The last upstream refused the call itself: its status, words and code, in the client's shape."""

    type = "invalid_request_error"

    def __init__(self, error: "UpstreamError") -> None:
        super().__init__(error.message, param=error.param)
        self._error = error

    @property
    def http_status(self) -> int:
        return self._error.status

    @property
    def error_code(self) -> str:
        return self._error.code or self._error.kind.value

    def body(self) -> dict[str, Any]:
        shape = super().body()
        shape["error"] |= {"type": self._error.openai_type or self.type, "code": self._error.code}
        return shape


class UpstreamRateLimited(GatewayError):
    status, type, code = 429, "rate_limit_error", "upstream_rate_limited"


class UpstreamFailed(GatewayError):
    status, type, code = 502, "server_error", "upstream_error"


class UpstreamBrokeOff(UpstreamFailed):
    """The upstream told an error inside an answer that had begun. Logs and usage know it as an UpstreamFailed."""

    def __init__(self, error: "UpstreamError", message: str) -> None:
        super().__init__(message, param=error.param)
        self._error = error

    def in_stream(self) -> GatewayError:
        return UpstreamSaid(self._error, self.message)


class UpstreamSaid(GatewayError):
    """What an upstream told inside an answer: its own type, param and code, else those that say what kind it was.

    No answer has its status, which is what the error stands for: some formats name an error by that.
    """

    def __init__(self, error: "UpstreamError", message: str) -> None:
        super().__init__(message, param=error.param)
        self._error = error

    @property
    def http_status(self) -> int:
        if self._error.kind is UpstreamErrorKind.INVALID:
            return self._error.status
        return _AS_SAID.get(self._error.kind, UpstreamFailed).status

    @property
    def error_code(self) -> str:
        return self._error.code or _CODE_AS_SAID.get(self._error.kind, UpstreamFailed.code)

    def body(self) -> dict[str, Any]:
        shape = super().body()
        shape["error"]["type"] = self._error.openai_type or _AS_SAID.get(self._error.kind, UpstreamFailed).type
        return shape


class UpstreamTimeout(GatewayError):
    status, type, code = 504, "server_error", "upstream_timeout"


class ClientGone(GatewayError):
    status, type, code = 499, "client_error", "client_closed_request"


class UpstreamErrorKind(Enum):
    """Why an attempt failed; the value is the error code that its usage event carries."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    INVALID = "invalid"
    AUTH = "auth"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    CONNECT = "connect"
    SERVER = "server"


_AS_SAID: Final[dict[UpstreamErrorKind, type[GatewayError]]] = {
    UpstreamErrorKind.INVALID: InvalidRequest,
    UpstreamErrorKind.RATE_LIMITED: UpstreamRateLimited,
    UpstreamErrorKind.OVERLOADED: Overloaded,
}
"""Errors of the gateway's own that have the status and the type of what an upstream told; UpstreamFailed for others."""
_CODE_AS_SAID: Final = {
    UpstreamErrorKind.INVALID: "invalid_request",
    UpstreamErrorKind.RATE_LIMITED: RateLimitExceeded.code,
    UpstreamErrorKind.OVERLOADED: "overloaded_error",
}


class UpstreamError(Exception):
    """How one attempt failed.

    `status` is the upstream's HTTP status, 0 without one. `is_quote` says that `message` is the upstream's own words,
    and not the gateway's about it; `type`, `param` and `code` are the upstream's too, None where it told none. All of
    them go to clients for kind INVALID, and for all kinds but AUTH inside an answer that has begun; else only the
    message, with credentials and what is internal to the upstream masked. Where `is_foreign`, the type is a word of
    another format than OpenAI's, whose clients are told theirs for the kind. `detail` is for spans and logs. `usage` is
    what the answer that failed says it used all the same, None where it says nothing, and `service_tier` the class of
    service that it says it is, as frames tell it.
    """

    def __init__(
        self,
        kind: UpstreamErrorKind,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
        detail: str = "",
        is_quote: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.detail = detail
        self.is_quote = is_quote
        self.is_foreign = False
        self.type: str | None = None
        self.param: str | None = None
        self.code: str | None = None
        self.usage: Usage | None = None
        self.service_tier: str | None = None

    @property
    def openai_type(self) -> str | None:
        """The type that OpenAI's clients may be told; None where the upstream told none of theirs."""
        return None if self.is_foreign else self.type

    def redact(self, secret: str) -> None:
        """Takes `secret` out of all that the upstream said, should it have repeated what it was sent."""
        if not secret:
            return
        self.message, self.detail = self.message.replace(secret, _REDACTED), self.detail.replace(secret, _REDACTED)
        self.type, self.param, self.code = (
            text and text.replace(secret, _REDACTED) for text in (self.type, self.param, self.code)
        )
