"""The admin API over REST."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tollctl.errors import CommandError, NotAuthenticated, Refused, Violation
from tollctl.web import Address, Request, send

JsonObject = dict[str, Any]
Query = Mapping[str, str | int | bool | None]
_MAX_PAGE_SIZE = 500
_OK = 200
# Each page of an export may take as long as a query.
_DOWNLOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class AdminClient:
    """Calls one control plane. Every method raises Unreachable, NotAuthenticated or Refused."""

    address: Address
    token: str = field(repr=False)
    ca_file: Path | None = None

    def read(self, path: str, query: Query | None = None) -> JsonObject:
        """GET /v1/{path}."""
        return self._call("GET", path, query, None)

    def download(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """The parts of what GET /v1/{path} sends that is not JSON."""
        headers = self._headers() | {"accept": "*/*"}
        request = Request("GET", _render_target(path, query), headers, None, timeout_s=_DOWNLOAD_TIMEOUT_S)
        with send(self.address, request, self.ca_file) as answer:
            if answer.status != _OK:
                self._parse_answer(answer.status, answer.read())
            yield from answer.parts()

    def write(self, path: str, body: JsonObject, query: Query | None = None) -> JsonObject:
        """POST /v1/{path}."""
        return self._call("POST", path, query, body)

    def delete(self, path: str, query: Query | None = None) -> None:
        """DELETE /v1/{path}."""
        self._call("DELETE", path, query, None)

    def pages(self, path: str, query: Query | None = None, page_size: int = _MAX_PAGE_SIZE) -> Iterator[JsonObject]:
        """All pages of a collection, each fetched when it is asked for."""
        token = ""
        while True:
            page = self.read(path, {**(query or {}), "page_size": page_size, "page_token": token})
            yield page
            token = page.get("next_page_token") or ""
            if not token:
                return

    def collect(self, path: str, items: str, query: Query | None = None, limit: int | None = None) -> JsonObject:
        """One page with the items of all pages, at most limit of them; next_page_token says whether there are more."""
        found: list[JsonObject] = []
        page: JsonObject = {}
        for page in self.pages(path, query, _MAX_PAGE_SIZE if limit is None else min(limit, _MAX_PAGE_SIZE)):
            found += page.get(items) or []
            if limit is not None and len(found) >= limit:
                break
        return {**page, items: found[:limit]}

    def _call(self, method: str, path: str, query: Query | None, body: JsonObject | None) -> JsonObject:
        headers = self._headers()
        if body is not None:
            headers["content-type"] = "application/json"
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        request = Request(method, _render_target(path, query), headers, content)
        with send(self.address, request, self.ca_file) as answer:
            return self._parse_answer(answer.status, answer.read())

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": "tollctl"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        return headers

    def _parse_answer(self, status: int, content: bytes) -> JsonObject:
        try:
            parsed = json.loads(content)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict) or (status != 200 and not isinstance(parsed.get("error"), dict)):
            raise CommandError(f"{self.address} does not answer as a Tollway admin API does (HTTP status {status})")
        if status == 200:
            return parsed
        refused = parse_refusal(status, parsed["error"])
        if status == 401:
            raise NotAuthenticated(
                f"not authenticated at {self.address}: {refused.summary}\n"
                "  give the admin token with --token or TOLLWAY_ADMIN_TOKEN"
            )
        raise refused


def parse_refusal(status: int, error: Mapping[str, Any]) -> Refused:
    """The exception for an error body: its message, and its field violations as lines of their own."""
    violations = tuple(
        Violation(str(found.get("field") or ""), str(found.get("description") or ""))
        for detail in error.get("details") or ()
        if isinstance(detail, dict)
        for found in detail.get("field_violations") or detail.get("fieldViolations") or ()
        if isinstance(found, dict)
    )
    message = str(error.get("message") or f"HTTP status {status}")
    return Refused(status, "the request is not valid" if violations else message, violations)


def _render_target(path: str, query: Query | None) -> str:
    return f"/v1/{quote(path, safe='/:')}{_render_query(query or {})}"


def _render_query(query: Query) -> str:
    words = {True: "true", False: "false"}
    given = {
        name: words[value] if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None and value != ""
    }
    return f"?{urlencode(given)}" if given else ""
