"""Gemini's API by the types of Google's SDK, at both of its places.

The types say what a member may be. Which members there are at a place is said by what the SDK itself would send for
the same call: it refuses what a place has not, and what it sends must be what the gateway does.
"""

from collections.abc import Callable
from typing import Any, Final, NotRequired

from google.genai import Client, models, types
from google.genai._common import convert_to_dict, encode_unserializable_types
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from tests.golden.evidence.types import JsonObject
from tests.golden.sdk_types import Sent
from tests.golden.sdk_types.strict import Strict


class _GenerationConfig(types.GenerationConfig):
    image_config: types.ImageConfig | None = None


class _Call(TypedDict):
    contents: list[types.Content]
    systemInstruction: NotRequired[types.Content]
    tools: NotRequired[list[types.Tool]]
    toolConfig: NotRequired[types.ToolConfig]
    safetySettings: NotRequired[list[types.SafetySetting]]
    generationConfig: NotRequired[_GenerationConfig]
    serviceTier: NotRequired[types.ServiceTier]
    labels: NotRequired[dict[str, str]]
    modelArmorConfig: NotRequired[types.ModelArmorConfig]


class _NamedCall(_Call):
    model: str


class _Count(TypedDict):
    generateContentRequest: _NamedCall


class _Request(TypedDict):
    model: str
    content: types.Content
    taskType: NotRequired[str]
    outputDimensionality: NotRequired[int]


class _Requests(TypedDict):
    requests: list[_Request]


class _Instance(TypedDict):
    content: str
    task_type: NotRequired[str]


class _Parameters(TypedDict):
    outputDimensionality: NotRequired[int]


class _Instances(TypedDict):
    instances: list[_Instance]
    parameters: NotRequired[_Parameters]


class _Settings(TypedDict):
    taskType: NotRequired[str]
    outputDimensionality: NotRequired[int]


class _OneContent(TypedDict):
    content: types.Content
    embedContentConfig: NotRequired[_Settings]


class _Form:
    """What a body must be, and how two bodies are compared that spell names and enumerations differently."""

    def __init__(self, annotation: Any) -> None:
        self._strict = Strict(annotation)
        self._lax: TypeAdapter[Any] = TypeAdapter(annotation)

    def problems(self, sent: JsonObject, make: Callable[[], Any]) -> list[str]:
        """What is wrong with `sent`, by its types and beside what the SDK makes of the same call."""
        found = self._strict.problems(sent)
        try:
            made, said = self._canonical(_plain(make())), self._canonical(sent)
        except (KeyError, TypeError, ValueError) as error:
            return found or [str(error)]
        return [*found, *_differences(made, said)]

    def _canonical(self, body: Any) -> Any:
        value = self._lax.validate_python(body)
        return self._lax.dump_python(value, mode="json", by_alias=True, exclude_none=True)


_PREDICTED: Final = ("text-embedding-005", "gemini-embedding-001")
"""Models of Vertex AI that make embeddings as it makes predictions; others take one text at a time."""
_NO_MEMBERS: Final = frozenset(("_url", "_query", "config"))
_LIST: Final = "[]"
_CALL, _COUNT, _REQUESTS, _INSTANCES = _Form(_Call), Strict(_Count), _Form(_Requests), _Form(_Instances)
_ONE_CONTENT: Final = _Form(_OneContent)
_STUDIO: Final = Client(api_key="none", vertexai=False)._api_client
_VERTEX: Final = Client(api_key="none", vertexai=True)._api_client


def studio_problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Google AI Studio."""
    body = sent.body
    if sent.endpoint == "embeddings":
        return _REQUESTS.problems(body, lambda: _embedded_by_studio(sent.model, body["requests"]))
    if sent.endpoint == "count_tokens":
        # The SDK counts contents alone there; the API takes the whole call.
        if found := _COUNT.problems(body):
            return found
        body = {name: value for name, value in body["generateContentRequest"].items() if name != "model"}
    return _CALL.problems(body, lambda: _called(models._GenerateContentParameters_to_mldev, _STUDIO, sent.model, body))


def vertex_problems(sent: Sent) -> list[str]:
    """What is wrong with a request to Vertex AI."""
    body = sent.body
    if sent.endpoint == "embeddings" and sent.model in _PREDICTED:
        return _INSTANCES.problems(body, lambda: _embedded_by_vertex(sent.model, body))
    if sent.endpoint == "embeddings":
        return _ONE_CONTENT.problems(body, lambda: _embedded_alone(sent.model, body))
    if sent.endpoint == "count_tokens":
        return _CALL.problems(body, lambda: _counted_by_vertex(sent.model, body))
    return _CALL.problems(body, lambda: _called(models._GenerateContentParameters_to_vertex, _VERTEX, sent.model, body))


def _called(render: Callable[..., Any], client: Any, model: str, body: JsonObject) -> Any:
    rest = {name: value for name, value in body.items() if name not in ("contents", "generationConfig")}
    config = types.GenerateContentConfig.model_validate({**body.get("generationConfig", {}), **rest})
    said = types._GenerateContentParameters(model=model, contents=_contents(body["contents"]), config=config)
    return render(client, said, None, said)


def _counted_by_vertex(model: str, body: JsonObject) -> Any:
    config = types.CountTokensConfig.model_validate({n: value for n, value in body.items() if n != "contents"})
    said = types._CountTokensParameters(model=model, contents=_contents(body["contents"]), config=config)
    return models._CountTokensParameters_to_vertex(_VERTEX, said, None, said)


def _embedded_by_studio(model: str, requests: list[JsonObject]) -> Any:
    settings = {name: value for name, value in requests[0].items() if name not in ("model", "content")}
    config = types.EmbedContentConfig.model_validate(settings)
    contents = _contents([request["content"] for request in requests])
    said = types._EmbedContentParametersPrivate(model=model, contents=contents, config=config)
    return models._EmbedContentParametersPrivate_to_mldev(_STUDIO, said, None, said)


def _embedded_by_vertex(model: str, body: JsonObject) -> Any:
    instances, settings = body["instances"], body.get("parameters", {})
    more = {name: value for name, value in instances[0].items() if name != "content"}
    config = types.EmbedContentConfig.model_validate({**settings, **more})
    contents = [instance["content"] for instance in instances]
    said = types._EmbedContentParametersPrivate(model=model, contents=contents, config=config)
    return models._EmbedContentParametersPrivate_to_vertex(_VERTEX, said, None, said)


def _embedded_alone(model: str, body: JsonObject) -> Any:
    config = types.EmbedContentConfig.model_validate(body.get("embedContentConfig", {}))
    said = types._EmbedContentParametersPrivate(
        model=model,
        content=types.Content.model_validate(body["content"]),
        config=config,
        embedding_api_type=types.EmbeddingApiType.EMBED_CONTENT,
    )
    return models._EmbedContentParametersPrivate_to_vertex(_VERTEX, said, None, said)


def _contents(contents: list[JsonObject]) -> list[Any]:
    return [types.Content.model_validate(content) for content in contents]


def _plain(made: Any) -> Any:
    """The body of a request that the SDK has made, as JSON."""
    plain = encode_unserializable_types(convert_to_dict(made))
    members = {name.removesuffix(_LIST): value for name, value in plain.items() if name not in _NO_MEMBERS}
    return {name: value for name, value in members.items() if value != {}}


def _differences(made: Any, sent: Any, place: str = "") -> list[str]:
    """Where what is sent is not what the SDK makes of the same call."""
    if isinstance(made, dict) and isinstance(sent, dict):
        return [
            problem
            for name in dict.fromkeys((*made, *sent))
            for problem in _differences(made.get(name), sent.get(name), f"{place}.{name}".strip("."))
        ]
    if isinstance(made, list) and isinstance(sent, list) and len(made) == len(sent):
        pairs = enumerate(zip(made, sent, strict=True))
        return [problem for at, (one, other) in pairs for problem in _differences(one, other, f"{place}.{at}")]
    return [] if made == sent else [f"{place}: {str(sent)[:80]}, where the SDK sends {str(made)[:80]}"]
