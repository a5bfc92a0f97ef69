"""Signature Version 4 written down once more, from its definition, to check signatures with."""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class SentRequest:
    """A request as a server gets it: the path and query as they came, header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    query: str = ""


def authorization_of(request: SentRequest, access_key_id: str, secret: str, region: str, service: str) -> str:
    """What the authorization header must be, given the headers that it says are signed."""
    signed = sorted(request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";"))
    date = request.headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join(
        [
            "POST",
            # Each segment of the path is encoded once more than it was sent.
            "/".join(quote(segment, safe="~") for segment in request.path.split("/")),
            request.query,
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    text = "\n".join([ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}"
