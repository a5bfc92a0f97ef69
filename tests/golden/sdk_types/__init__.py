"""Whether a request that the gateway sends is one that the provider's own SDK could send, by the types of that SDK."""

from dataclasses import dataclass, field

from tests.golden.evidence.types import JsonObject


@dataclass(frozen=True, slots=True)
class Sent:
    """What an upstream is sent for a call of an endpoint of the gateway, by its name; `body` is parsed JSON.

    `betas` are those of Anthropic's that a header names; None where the client speaks its format, and names its own.
    """

    endpoint: str
    model: str
    is_stream: bool
    body: JsonObject = field(repr=False)
    betas: tuple[str, ...] | None = None
