"""Azure's own data: what a call has the provider read must be read as the caller, and by no model but the called one.

https://learn.microsoft.com/azure/ai-foundry/openai/references/on-your-data
"""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import object_of
from dataplane.errors import InvalidRequest

_MEMBER: Final = "data_sources"
_CALLERS_OWN: Final = frozenset(
    (
        *("api_key", "access_token", "key_and_key_id", "encoded_api_key", "connection_string"),
        *("account_key", "username_and_password"),
    )
)
"""Types of authentication that bear a credential; all others, and none at all, stand for an identity of Azure's."""
_DEPLOYMENT: Final = "deployment_name"


def check_data_sources(body: JsonObject) -> JsonObject:
    """`body` as it is.

    Raises InvalidRequest for a source that is read as the upstream itself, or searched by a model of the upstream's.
    """
    sources = body.get(_MEMBER)
    if sources is None:
        return body
    for at, source in enumerate(sources if isinstance(sources, list) else [sources]):
        parameters = object_of(object_of(source).get("parameters"))
        where = f"{_MEMBER}[{at}].parameters"
        if _kind(parameters.get("authentication")) not in _CALLERS_OWN:
            raise _refused(f"{where}.authentication", "an identity that is not yours", "Send a key of your own.")
        if _kind(parameters.get("embedding_dependency")) == _DEPLOYMENT:
            raise _refused(
                f"{where}.embedding_dependency", "another model", "Name an endpoint, with a key of your own."
            )
    return body


def _kind(member: Any) -> str:
    kind = object_of(member).get("type")
    return kind if isinstance(kind, str) else ""


def _refused(where: str, what: str, instead: str) -> InvalidRequest:
    return InvalidRequest(
        f'The field "{where}" would have data read by {what}. {instead}', code="unsupported_parameter", param=where
    )
