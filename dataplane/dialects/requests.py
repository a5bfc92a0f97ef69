"""The HTTP side of a request to any provider: where it goes and which headers it has. Pure."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import orjson

from dataplane.call import Call, JsonObject, UpstreamRequest
from dataplane.dialects.base import ProviderSpec
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target
from tollway.resources.catalog.row import DOT_SEGMENTS, placeholders

_EVENT_STREAM: Final = "text/event-stream"
_JSON: Final = "application/json"


def upstream_request(
    call: Call, target: Target, provider: ProviderSpec, body: JsonObject, headers: Mapping[str, str] | None = None
) -> UpstreamRequest:
    """`body` for `target`, with the dialect's own `headers`.

    Raises InvalidRequest for a call without a path there, and for one that is nested too deep to be written.
    """
    upstream = target.upstream
    is_native = call.endpoint.format == provider.dialect
    sent = {
        **(headers or {}),
        **(_forwarded(call, provider) if is_native else {}),
        **upstream.headers,
        "content-type": _JSON,
        "accept": _EVENT_STREAM if call.stream else _JSON,
        "accept-encoding": "identity",
    }
    if upstream.secret and not provider.credentials:
        header, before = provider.auth
        sent[header] = before + upstream.secret.reveal()
    return UpstreamRequest(_url(call, target, provider), sent, _encoded(body, call))


def _forwarded(call: Call, provider: ProviderSpec) -> dict[str, str]:
    """The headers of a client that are meant for the dialect that is spoken: they are named after it."""
    own = f"{provider.dialect}-"
    return {name: value for name, value in call.forwarded_headers.items() if name.startswith(own)}


def _encoded(body: JsonObject, call: Call) -> bytes:
    """`body` as JSON. Bodies of clients are shallow, but strings in their messages may hold JSON of any depth."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(
            "The call is nested too deep to be sent. Send tool calls and reasoning of less depth.",
            code="invalid_value",
            param="messages" if "messages" in call.body else None,
        ) from error


def path_of(call: Call, target: Target, provider: ProviderSpec) -> str:
    """What `call` is sent to below the base URL. Raises InvalidRequest where nothing answers it there."""
    name = call.endpoint.name
    path = (provider.paths.get(f"{name}.stream") if call.stream else None) or provider.paths.get(name)
    if path is None:
        raise InvalidRequest(
            f'The upstream "{target.upstream.id}" ({provider.name}) has nothing that answers {call.endpoint.path}. '
            "Send the call to a model of another upstream.",
            code="unsupported_endpoint",
            param="model",
        )
    return path


def _url(call: Call, target: Target, provider: ProviderSpec) -> str:
    template = (target.upstream.base_url or provider.base_url) + path_of(call, target, provider)
    return _filled(template, target, provider) if "{" in template else template


def _filled(template: str, target: Target, provider: ProviderSpec) -> str:
    upstream, names = target.upstream, placeholders(template)
    if "model" in names and target.model in DOT_SEGMENTS:
        raise InvalidRequest(
            f'The model "{target.model}" cannot be called: it would change the address that it stands in.',
            code="invalid_value",
            param="model",
        )
    values = {**provider.options, **upstream.options, "model": target.model}
    if upstream.region:
        values["region"] = upstream.region
    missing = [name for name in names if not values.get(name)]
    if missing:
        raise InvalidRequest(
            f'The upstream "{upstream.id}" says no {" and no ".join(missing)}. An admin must set it in its '
            "region or options.",
            code="upstream_incomplete",
        )
    return template.format_map({name: quote(value, safe="") for name, value in values.items()})
