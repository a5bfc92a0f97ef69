"""Function calls of one candidate as OpenAI's tool calls, with ids, also those that arrive in pieces."""

import hashlib

import orjson

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import objects_at, text_at
from dataplane.dialects.gemini.partial_args import add_partial
from dataplane.dialects.gemini.signatures import extra_content
from dataplane.errors import UpstreamError, UpstreamErrorKind

_DIGEST_BYTES = 12


class CallReader:
    """Calls of the candidate at `index`: ids that the provider leaves out are made of `request_id` and positions.

    `_open` is a call whose arguments are still arriving.
    """

    def __init__(self, request_id: str, index: int) -> None:
        self._seed = f"{request_id}/{index}"
        self._ids: set[str] = set()
        self._open: JsonObject | None = None
        self._open_signature = ""

    @property
    def count(self) -> int:
        """How many calls there have been."""
        return len(self._ids)

    @property
    def is_open(self) -> bool:
        """Whether the arguments of the latest call are not at their end."""
        return self._open is not None

    def read(self, call: JsonObject, signature: str) -> list[JsonObject]:
        """Tool calls that a functionCall completes, as deltas have them."""
        completed = []
        if text_at(call, "name"):
            completed += self.close()
            args = call.get("args")
            self._open = {**call, "args": dict(args) if isinstance(args, dict) else {}}
            self._open_signature = ""
        if self._open is None:
            return completed
        self._open_signature = self._open_signature or signature
        for partial in objects_at(call, "partialArgs"):
            add_partial(self._open["args"], partial)
        if not call.get("willContinue"):
            completed += self.close()
        return completed

    def close(self) -> list[JsonObject]:
        """The call that was still arriving, complete as far as it came."""
        if self._open is None:
            return []
        call, self._open = self._open, None
        identity = self._identity(text_at(call, "id"))
        function = {"name": text_at(call, "name"), "arguments": _text(call["args"])}
        position = len(self._ids)
        self._ids.add(identity)
        said = {"index": position, "id": identity, "type": "function", "function": function}
        return [said | extra_content(self._open_signature)]

    def _identity(self, given: str) -> str:
        """The provider's id where it is one of its own, else one that OpenAI's limits and other dialects allow."""
        if given and given not in self._ids:
            return given
        seed = f"{self._seed}/{len(self._ids)}".encode()
        return f"call_{hashlib.blake2s(seed, digest_size=_DIGEST_BYTES).hexdigest()}"


def _text(arguments: JsonObject) -> str:
    try:
        return orjson.dumps(arguments).decode()
    except orjson.JSONEncodeError as error:
        raise UpstreamError(UpstreamErrorKind.PROTOCOL, "The upstream's call is nested too deep.") from error
