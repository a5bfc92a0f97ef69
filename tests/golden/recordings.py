"""The recorded exchanges with real providers, as the tests read them."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True, slots=True)
class Recording:
    """One exchange: what was asked (None where the source kept only the answer), and the answer's bytes."""

    id: str
    api: str
    is_stream: bool
    request: dict[str, Any] | None
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def endpoint(self) -> str:
        """Path of the gateway's endpoint that answers such a call."""
        kind = self.api.rpartition(".")[2]
        return {"completions": "/v1/completions", "embeddings": "/v1/embeddings"}.get(kind, "/v1/chat/completions")


def read_recordings(dialect: str = "") -> list[Recording]:
    """All recordings of a dialect, OpenAI's where none is named, in order of id."""
    return [read_recording(path) for path in sorted((FOLDER / dialect).glob("*.json"))]


def read_recording(path: Path) -> Recording:
    """The exchange in a file."""
    raw = json.loads(path.read_text())
    request, response = raw.get("request"), raw["response"]
    body = request.get("body") if request else None
    return Recording(
        id=raw["id"],
        api=raw["api"],
        is_stream=raw["stream"],
        request=body if isinstance(body, dict) else None,
        status=response["status"],
        headers={name.lower(): str(value) for name, value in (response.get("headers") or {}).items()},
        body=_body(response),
    )


def _body(response: dict[str, Any]) -> bytes:
    if "body_text" in response:
        return str(response["body_text"]).encode()
    if "body_base64" in response:
        return base64.b64decode(response["body_base64"])
    return json.dumps(response.get("body")).encode()
