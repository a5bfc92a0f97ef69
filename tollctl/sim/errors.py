"""Errors as OpenAI answers them."""

from collections.abc import Mapping

_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 403: "invalid_request_error"}
_CODES = {401: "invalid_api_key", 403: "unsupported_country_region_territory", 404: "model_not_found"}
_RETRY_AFTER_S = {429: 1}
_JsonObject = dict[str, object]


class SimError(Exception):
    """An answer other than 200. `param` is the path of the field at fault."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def body(self) -> _JsonObject:
        error: _JsonObject = {
            "message": self.message,
            "type": _name_type(self.status),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def headers(self) -> Mapping[str, str]:
        """`retry-after`, in seconds, where a client should wait."""
        seconds = _RETRY_AFTER_S.get(self.status)
        return {} if seconds is None else {"retry-after": str(seconds)}


def reject_field(message: str, param: str, code: str | None = None) -> SimError:
    """A 400 about one field of the body."""
    return SimError(400, message, param=param, code=code)


def answer_status(status: int) -> SimError:
    """The error that the models `status-CODE`, `flaky-PCT` and `limited-PCT` answer."""
    message = {
        429: "Rate limit reached for this simulated model. Please try again in 1s.",
        500: "The server had an error while processing your request. Sorry about that!",
    }.get(status, f"The simulated provider answers {status}, as the model's name asks.")
    code = "rate_limit_exceeded" if status == 429 else _CODES.get(status)
    return SimError(status, message, code=code)


def _name_type(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
