"""Calls in OpenAI's format as Gemini and Vertex are sent them."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.call import Endpoint
from dataplane.dialects.base import ProviderSpec
from dataplane.dialects.gemini import GeminiDialect
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Target
from tests.fakes.outcomes import CHAT, UPSTREAM, make_call

DIALECT = GeminiDialect()
PATHS = {
    "chat_completions": "/models/{model}:generateContent",
    "chat_completions.stream": "/models/{model}:streamGenerateContent?alt=sse",
    "embeddings": "/models/{model}:batchEmbedContents",
    "count_tokens": "/models/{model}:countTokens",
}
STUDIO = ProviderSpec("gemini", "gemini", PATHS, auth=("x-goog-api-key", ""))
VERTEX = ProviderSpec("vertex", "gemini", PATHS, traits=frozenset({"vertex"}))
COUNT = Endpoint("count_tokens", "/v1/messages/count_tokens", "count", False)
EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
USER = {"role": "user", "content": "Hi"}
SAID = {"role": "user", "parts": [{"text": "Hi"}]}
SKIPPED = "skip_thought_signature_validator"
OLD, NEW = "gemini-2.5-flash", "gemini-3-flash-preview"


def render(
    body: dict[str, Any], model: str = OLD, provider: ProviderSpec = STUDIO, endpoint: Endpoint = CHAT, **fields: Any
) -> Any:
    """The body that `model` is sent; it never changes the client's."""
    before = copy.deepcopy(body)
    request = DIALECT.render_request(
        make_call(body=body, endpoint=endpoint, **fields), Target(UPSTREAM, model), provider
    )
    assert body == before
    return json.loads(request.body)


def chat(*messages: Any, model: str = OLD, provider: ProviderSpec = STUDIO, **fields: Any) -> Any:
    return render({"messages": list(messages or (USER,)), **fields}, model, provider)


def config(model: str = OLD, **fields: Any) -> Any:
    return chat(model=model, **fields).get("generationConfig")


def calling(*calls: tuple[str, str, str], **fields: Any) -> dict[str, Any]:
    told = [{"id": i, "type": "function", "function": {"name": name, "arguments": args}} for i, name, args in calls]
    return {"role": "assistant", "content": None, "tool_calls": told, **fields}


def result(identity: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def refused(body: dict[str, Any], endpoint: Endpoint = CHAT) -> tuple[str, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        render(body, endpoint=endpoint)
    return caught.value.error_code, caught.value.param


def test_where_requests_go() -> None:
    call = make_call(body={"messages": [USER]}, stream=True)
    request = DIALECT.render_request(call, Target(UPSTREAM, OLD), STUDIO)
    assert request.url.endswith(f"/models/{OLD}:streamGenerateContent?alt=sse")
    assert request.headers["x-goog-api-key"] == "sk-canary"
    assert "authorization" not in request.headers


def test_endpoint_without_a_path() -> None:
    assert refused({}, Endpoint("rerank", "/v1/rerank", "rerank", False)) == ("unsupported_endpoint", "model")


def test_roles_are_merged_and_instructions_set_apart() -> None:
    sent = chat(
        {"role": "system", "content": "Be brief."},
        USER,
        {"role": "user", "content": [{"type": "text", "text": "there"}]},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "assistant", "content": "Hello."},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "user", "content": ""},
    )
    assert sent == {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"text": "there"}]},
            {"role": "model", "parts": [{"text": "Hello."}, {"text": "No."}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    }


def test_instructions_alone_are_what_the_user_says() -> None:
    assert chat({"role": "system", "content": "Hi"}) == {"contents": [SAID]}


def test_calls_and_results_keep_their_ids_and_come_in_order() -> None:
    sent = chat(
        USER,
        calling(("a", "f", '{"x": 1}'), ("b", "g", "")),
        result("b", "[1]"),
        result("a", [{"type": "text", "text": '{"y": 2}'}]),
        USER,
    )
    assert sent["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "b", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"y": 2}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"output": "[1]"}}},
                {"text": "Hi"},
            ],
        },
    ]


def test_vertex_is_sent_no_ids() -> None:
    sent = chat(USER, calling(("a", "f", "{}")), result("a", "ok"), provider=VERTEX)
    (call,), (answer,) = (content["parts"] for content in sent["contents"][1:])
    assert (call, answer) == (
        {"functionCall": {"name": "f", "args": {}}},
        {"functionResponse": {"name": "f", "response": {"output": "ok"}}},
    )


def test_id_that_two_turns_share_means_the_nearer_call() -> None:
    sent = chat(USER, calling(("a", "f", "{}")), result("a", "1"), calling(("a", "g", "{}")), result("a", "2"))
    answers = [part["functionResponse"] for content in sent["contents"][2::2] for part in content["parts"]]
    assert [(answer["name"], answer["response"]["output"]) for answer in answers] == [("f", "1"), ("g", "2")]


@pytest.mark.parametrize(("model", "is_inside"), [(OLD, False), (NEW, True)])
def test_files_in_results(model: str, is_inside: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sent = chat(calling(("a", "f", "{}")), result("a", [{"type": "text", "text": "see"}, image]), model=model)
    shown = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    answer, *others = sent["contents"][1]["parts"]
    assert answer["functionResponse"].get("parts") == ([shown] if is_inside else None)
    assert others == ([] if is_inside else [shown])


def test_signatures_go_back_where_they_came_from() -> None:
    first, second = calling(("a", "f", "{}"), ("b", "g", "{}"))["tool_calls"]
    first["extra_content"] = {"google": {"thought_signature": "AAA1"}}
    details = [
        {"type": "reasoning.encrypted", "format": "google-gemini-v1", "data": "AAA2", "index": 0},
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "text": "hm", "signature": "AAA3"},
    ]
    images = [{"image_url": {"url": "data:image/png;base64,AA"}, "extra_content": {"google": {"thought_signature": 4}}}]
    said = {"role": "assistant", "content": "ok", "reasoning_content": "hm", "reasoning_details": details}
    sent = chat(USER, said | {"tool_calls": [first, second], "images": images}, model=NEW)
    assert sent["contents"][1]["parts"] == [
        {"text": "ok", "thoughtSignature": "AAA2"},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thoughtSignature": SKIPPED},
        {"functionCall": {"id": "a", "name": "f", "args": {}}, "thoughtSignature": "AAA1"},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]


def test_signature_of_a_call_in_the_details() -> None:
    detail = {"type": "reasoning.encrypted", "format": "google-gemini-v1", "data": "AAAA", "id": "b"}
    told = calling(("a", "f", "{}"), ("b", "g", "{}"), reasoning_details=[detail])
    parts = chat(USER, told | {"content": "ok"}, model=NEW)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [None, None, "AAAA"]


class Counted(list[Any]):
    """A list that counts how often it is read through."""

    reads = 0

    def __iter__(self) -> Iterator[Any]:
        self.reads += 1
        return super().__iter__()


def test_details_of_a_message_are_read_once_however_many_calls_it_has() -> None:
    form = {"type": "reasoning.encrypted", "format": "google-gemini-v1"}
    details = Counted(form | {"data": f"S{at}", "id": str(at)} for at in range(50))
    told = calling(*((str(at), "f", "{}") for at in range(50)), reasoning_details=details)
    call = make_call(body={"messages": [USER, told]}, endpoint=CHAT)
    sent = json.loads(DIALECT.render_request(call, Target(UPSTREAM, NEW), STUDIO).body)
    assert [part["thoughtSignature"] for part in sent["contents"][1]["parts"]] == [f"S{at}" for at in range(50)]
    assert details.reads == 1


@pytest.mark.parametrize(
    ("model", "signature"),
    [(OLD, None), (NEW, SKIPPED), ("gemini-3.1-pro-preview", SKIPPED), ("gemini-flash-latest", SKIPPED), ("x", None)],
)
def test_foreign_calls_get_the_dummy_signature_once(model: str, signature: str | None) -> None:
    foreign = calling(("a", "f", "{}"), ("b", "g", "{}"), thinking_blocks=[{"type": "thinking", "signature": "S"}])
    parts = chat(USER, foreign, model=model)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [signature, None]


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,/9j/"}},
            {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/"}},
        ),
        (
            {"type": "image_url", "image_url": "data:;base64,AA"},
            {"inlineData": {"mimeType": "image/jpeg", "data": "AA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.org/a/B.PNG?q=1", "detail": "high"}},
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.org/a/B.PNG?q=1"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=1"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.csv", "file_data": "YSxi"}},
            {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
            {"inlineData": {"mimeType": "text/plain", "data": "YSBi"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://x.org/generativelanguage.googleapis.com/files/x"}},
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://x.org/generativelanguage.googleapis.com/files/x",
                }
            },
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "UklG"}},
        ),
    ],
)
def test_files(part: Any, sent: Any) -> None:
    text = {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}
    parts = chat({"role": "user", "content": [text, part]})["contents"][0]["parts"]
    assert parts == [{"text": "look"}, sent]


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/picture",
        "https://generativelanguage.googleapis.com/v1beta/files/x",
        "http://user@GenerativeLanguage.googleapis.com.:443/v1beta/%66iles/x",
        "https://generativelanguage.google\tapis.com/v1beta/files/x",
    ],
)
@pytest.mark.parametrize("provider", [STUDIO, VERTEX])
def test_files_that_are_stored_at_google_are_refused(url: str, provider: ProviderSpec) -> None:
    parts = {
        "image_url": {"type": "image_url", "image_url": {"url": url}},
        "video_url": {"type": "video_url", "video_url": {"url": url}},
        "file.file_id": {"type": "file", "file": {"file_id": url}},
        "file.file_data": {"type": "file", "file": {"file_data": url}},
    }
    for param, part in parts.items():
        with pytest.raises(InvalidRequest) as caught:
            chat({"role": "user", "content": [part]}, provider=provider)
        assert (caught.value.error_code, caught.value.param) == (
            "unsupported_content",
            f"messages[0].content[0].{param}",
        )


@pytest.mark.parametrize("field", ["cachedContent", "cached_content"])
@pytest.mark.parametrize("provider", [STUDIO, VERTEX])
@pytest.mark.parametrize("endpoint", [CHAT, COUNT])
def test_caches_that_are_stored_at_google_are_refused(field: str, provider: ProviderSpec, endpoint: Endpoint) -> None:
    with pytest.raises(InvalidRequest) as caught:
        render({"messages": [USER], field: "cachedContents/x"}, provider=provider, endpoint=endpoint)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_content", field)
    assert field not in render({"messages": [USER], field: None}, provider=provider, endpoint=endpoint)


OWN_TOOLS = ["googleSearch", "google_search", "codeExecution", "code_execution", "urlContext", "url_context"]


@pytest.mark.parametrize("name", OWN_TOOLS)
def test_tools_of_googles_own_pass_as_they_are(name: str) -> None:
    assert chat(tools=[{name: {"any": [1]}}])["tools"] == [{name: {"any": [1]}}]


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        ({"retrieval": {"vertexAiSearch": {"datastore": "projects/p/x"}}}, "retrieval"),
        ({"googleSearch": {}, "retrieval": {}}, "retrieval"),
        ({"google_search_retrieval": {}}, "google_search_retrieval"),
        ({"googleMaps": {}}, "googleMaps"),
        ({"functionDeclarations": [{"name": "f"}]}, "functionDeclarations"),
        ({"type": "retrieval", "googleSearch": {}}, "retrieval"),
        ({"type": 5}, "type"),
        ({"function": "f"}, "function"),
        ({}, ""),
    ],
)
def test_tools_that_read_for_the_gateway_are_refused(tool: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(tools=[{"googleSearch": {}}, tool], provider=VERTEX)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_content", "tools[1]")
    assert f"'{named}'" in str(caught.value)


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        ("hi", "invalid_value", "messages"),
        ([3], "invalid_value", "messages[0]"),
        ([{"role": "robot"}], "invalid_value", "messages[0].role"),
        ([{"role": "user", "content": 3}], "invalid_value", "messages[0].content"),
        ([{"role": "user", "content": ["x"]}], "invalid_value", "messages[0].content[0]"),
        ([{"role": "user", "content": [{"type": "text"}]}], "invalid_value", "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "smell"}]}], "unsupported_content", "messages[0].content[0]"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}],
            "invalid_value",
            "messages[0].content[0].image_url",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://[x"}}]}],
            "invalid_value",
            "messages[0].content[0].image_url",
        ),
        (
            [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}],
            "unsupported_content",
            "messages[0].content[0].file",
        ),
        (
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": ""}}]}],
            "invalid_value",
            "messages[0].content[0].input_audio.data",
        ),
        ([result("a", "x")], "invalid_value", "messages[0].tool_call_id"),
        ([{"role": "function", "name": "f", "content": "x"}], "invalid_value", "messages[0]"),
        (
            [{"role": "assistant", "function_call": {"name": "f", "arguments": "{x"}}],
            "invalid_value",
            "messages[0].function_call.arguments",
        ),
        ([{"role": "assistant", "function_call": "f"}], "invalid_value", "messages[0].function_call"),
        ([calling(("a", "f", "{x"))], "invalid_value", "messages[0].tool_calls[0].function.arguments"),
        ([calling(("a", "f", "[]"))], "invalid_value", "messages[0].tool_calls[0].function.arguments"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f"}}]}],
            "unsupported_content",
            "messages[0].tool_calls[0]",
        ),
    ],
)
def test_what_cannot_be_said(messages: Any, code: str, param: str) -> None:
    assert refused({"messages": messages}) == (code, param)


def test_tools_are_declared_with_full_schemas() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "const": {"const": "a", "title": "Kind"},
            "at": {"type": "string", "format": "date-time"},
            "url": {"type": "string", "format": "uri", "description": "Where"},
            "n": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
            "x": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"$ref": "#/$defs/y"}]},
        },
        "$defs": {"y": {"type": "array", "items": {"const": True}}},
        "additionalProperties": False,
    }
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}},
        {"type": "function", "function": {"name": "g", "parameters": {}}},
        {"googleSearch": {}},
    ]
    assert chat(tools=tools, parallel_tool_calls=False)["tools"] == [
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parametersJsonSchema": {
                        "type": "object",
                        "properties": {
                            "const": {"type": "string", "enum": ["a"], "title": "Kind"},
                            "at": {"type": "string", "format": "date-time"},
                            "url": {"type": "string", "description": "Where (format: uri)"},
                            "n": {"type": "integer", "minimum": 1, "maximum": 8},
                            "x": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/y"}]},
                        },
                        "$defs": {"y": {"type": "array", "items": {"type": "boolean", "enum": [True]}}},
                        "additionalProperties": False,
                    },
                },
                {"name": "g"},
            ]
        },
    ]


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        (None, None, ["f", "g"]),
        ("auto", {"mode": "AUTO"}, ["f", "g"]),
        ("none", {"mode": "NONE"}, ["f", "g"]),
        ("required", {"mode": "ANY"}, ["f", "g"]),
        ({"type": "function", "function": {"name": "g"}}, {"mode": "ANY", "allowedFunctionNames": ["g"]}, ["f", "g"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
            },
            {"mode": "ANY"},
            ["g"],
        ),
        ("whatever", None, ["f", "g"]),
        ([], None, ["f", "g"]),
    ],
)
def test_tool_choice(choice: Any, mode: Any, names: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in "fg"]
    sent = chat(tools=tools, tool_choice=choice)
    assert [declared["name"] for declared in sent["tools"][0]["functionDeclarations"]] == names
    assert sent.get("toolConfig") == (mode and {"functionCallingConfig": mode})


FUNCTIONS = [{"name": name, "parameters": {"type": "object"}} for name in "fg"]
MIXED = [{"googleSearch": {}}, {"type": "function", "function": {"name": "f"}}]
ASKED = {"includeServerSideToolInvocations": True}


@pytest.mark.parametrize(
    ("choice", "mode"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ({"name": "g"}, {"mode": "ANY", "allowedFunctionNames": ["g"]}),
    ],
)
def test_functions_of_clients_that_know_no_tools_are_declared(choice: Any, mode: Any) -> None:
    sent = chat(functions=FUNCTIONS, function_call=choice)
    declared = [{"name": name, "parametersJsonSchema": {"type": "object"}} for name in "fg"]
    assert sent["tools"] == [{"functionDeclarations": declared}]
    assert sent.get("toolConfig") == (mode and {"functionCallingConfig": mode})


def test_tools_count_where_there_are_functions_too() -> None:
    sent = chat(tools=MIXED[1:], functions=FUNCTIONS, tool_choice="none", function_call={"name": "g"})
    assert sent["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


@pytest.mark.parametrize(
    ("functions", "param"), [(3, "functions"), (["f"], "functions[0]"), ([{"description": "d"}], "functions[0].name")]
)
def test_what_is_no_function(functions: Any, param: str) -> None:
    assert refused({"messages": [USER], "functions": functions}) == ("invalid_value", param)


@pytest.mark.parametrize(("model", "signed"), [(OLD, {}), (NEW, {"thoughtSignature": SKIPPED})])
def test_function_calls_of_clients_that_know_no_tools_go_back_with_their_results(model: str, signed: Any) -> None:
    said = [
        {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": '{"x": 1}'}}
        for name in "fg"
    ]
    answers = [{"role": "function", "name": name, "content": f"of {name}"} for name in "fg"]
    sent = chat(USER, said[0], answers[0], said[1], answers[1], model=model)
    assert sent["contents"][1:] == [
        content
        for identity, name in (("call_legacy_1", "f"), ("call_legacy_2", "g"))
        for content in (
            {"role": "model", "parts": [{"functionCall": {"id": identity, "name": name, "args": {"x": 1}}} | signed]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": identity, "name": name, "response": {"output": f"of {name}"}}},
                ],
            },
        )
    ]


@pytest.mark.parametrize(
    ("model", "provider", "tools", "choice", "config"),
    [
        (NEW, STUDIO, MIXED, None, ASKED),
        (NEW, STUDIO, MIXED, "auto", ASKED),
        (NEW, STUDIO, MIXED, "required", ASKED | {"functionCallingConfig": {"mode": "ANY"}}),
        (NEW, STUDIO, MIXED[:1], None, None),
        (NEW, STUDIO, MIXED[1:], "auto", {"functionCallingConfig": {"mode": "AUTO"}}),
        (NEW, VERTEX, MIXED, "auto", {"functionCallingConfig": {"mode": "AUTO"}}),
        (OLD, STUDIO, MIXED, None, None),
    ],
)
def test_functions_beside_tools_of_googles_own_are_asked_for(
    model: str, provider: ProviderSpec, tools: Any, choice: Any, config: Any
) -> None:
    assert chat(model=model, provider=provider, tools=tools, tool_choice=choice).get("toolConfig") == config


USED = {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "id": "a", "args": {}}, "thoughtSignature": "S"}
CAME = {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "id": "a", "response": {}}, "thoughtSignature": "T"}


def answered(*parts: Any) -> Any:
    """The message that Gemini's answer of `parts` is for the client."""
    answer = {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP"}]}
    frame = DIALECT.parse_result(make_call(), json.dumps(answer).encode())
    return json.loads(frame.data)["choices"][0]["message"]


@pytest.mark.parametrize(
    ("model", "provider", "tools", "back"),
    [
        (NEW, STUDIO, MIXED, [USED, CAME]),
        (NEW, STUDIO, MIXED[1:], []),
        (NEW, VERTEX, MIXED, []),
        (OLD, STUDIO, MIXED, []),
    ],
)
def test_uses_of_googles_own_tools_go_back_as_they_came(
    model: str, provider: ProviderSpec, tools: Any, back: Any
) -> None:
    call = {"functionCall": {"name": "f", "args": {}, "id": "x"}, "thoughtSignature": "U"}
    said = answered(USED, CAME, {"text": "so"}, call)
    sent = chat(USER, said, result("x", "1"), model=model, provider=provider, tools=tools)
    *before, text, called = sent["contents"][1]["parts"]
    assert (before, text, called["thoughtSignature"]) == (back, {"text": "so"}, "U")


@pytest.mark.parametrize(
    "data",
    [
        *("", "x", "[]", "{}", "7"),
        *map(
            json.dumps,
            [
                {"fileData": {"fileUri": "gs://b/o"}},
                {**USED, "text": "t"},
                {**USED, **CAME},
                {**USED, "thoughtSignature": {"fileUri": "gs://b/o"}},
                {"thoughtSignature": "S"},
                {"toolCall": "x"},
                {"toolResponse": {"toolType": "FILE_SEARCH", "parts": [{"fileData": {"fileUri": "gs://b/o"}}]}},
            ],
        ),
    ],
)
def test_what_is_no_use_of_googles_own_tools_does_not_go_back(data: str) -> None:
    said = answered(USED, {"text": "so"})
    said["reasoning_details"][0]["data"] = data
    assert chat(USER, said, model=NEW, tools=MIXED)["contents"][1]["parts"] == [{"text": "so"}]


def test_choice_without_tools_says_nothing() -> None:
    assert chat(tool_choice="none") == {"contents": [SAID]}


def test_search_by_options() -> None:
    assert chat(web_search_options={})["tools"] == [{"googleSearch": {}}]


@pytest.mark.parametrize("tool", [{"type": "custom", "custom": {"name": "f"}}, {}, {"type": "web_search"}])
def test_tools_of_other_kinds(tool: Any) -> None:
    assert refused({"messages": [USER], "tools": [tool]}) == ("unsupported_content", "tools[0]")


def test_settings() -> None:
    sent = config(
        temperature=0,
        top_p=0.5,
        top_k=3,
        max_tokens=7,
        n=2,
        seed=2**31 + 5,
        stop="x",
        presence_penalty=0.5,
        frequency_penalty=0,
        logprobs=True,
        top_logprobs=3,
        modalities=["text", "image"],
        logit_bias={"1": 2},
        user="u",
        metadata={"a": "b"},
        store=True,
    )
    assert sent == {
        "temperature": 0,
        "topP": 0.5,
        "topK": 3,
        "maxOutputTokens": 7,
        "candidateCount": 2,
        "seed": 5,
        "stopSequences": ["x"],
        "presencePenalty": 0.5,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }


def test_settings_that_say_nothing() -> None:
    assert config(n=1, stop=None, modalities=["text"], temperature=None, max_tokens=None, logprobs=False) is None


def test_output_limits() -> None:
    assert config(max_tokens=7, max_completion_tokens=9) == {"maxOutputTokens": 9}
    sent = render({"messages": [USER]}, output_limit=5)
    assert sent["generationConfig"] == {"maxOutputTokens": 5}


@pytest.mark.parametrize(
    ("model", "fields", "thinking"),
    [
        (OLD, {}, None),
        (OLD, {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        (OLD, {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLD, {"reasoning_effort": "high"}, {"thinkingBudget": 24576, "includeThoughts": True}),
        (OLD, {"thinking": {"type": "enabled", "budget_tokens": 99}}, {"thinkingBudget": 99, "includeThoughts": True}),
        (OLD, {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        (OLD, {"thinking": {"type": "disabled"}}, {"thinkingBudget": 0}),
        (OLD, {"reasoning_effort": "odd"}, None),
        ("gemini-2.5-pro", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        ("gemini-2.5-flash-image", {"reasoning_effort": "low"}, None),
        ("gemini-2.0-flash", {"reasoning_effort": "low"}, None),
        (NEW, {"reasoning_effort": "minimal"}, {"thinkingLevel": "minimal", "includeThoughts": True}),
        (NEW, {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        (NEW, {"reasoning_effort": "xhigh"}, {"thinkingLevel": "high", "includeThoughts": True}),
        (NEW, {"thinking": {"budget_tokens": 5000}}, {"thinkingLevel": "medium", "includeThoughts": True}),
        (NEW, {"thinking": {"budget_tokens": -1}}, {"includeThoughts": True}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "high", "includeThoughts": True}),
        (
            "gemini-3.1-pro-preview",
            {"reasoning_effort": "medium"},
            {"thinkingLevel": "medium", "includeThoughts": True},
        ),
        ("gemini-3.1-pro-preview", {"reasoning_effort": "none"}, {"thinkingLevel": "low"}),
        ("gemini-3-pro-image-preview", {"reasoning_effort": "low"}, {"includeThoughts": True}),
        ("gemini-3.6-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        ("gemini-3.7-flash", {"reasoning_effort": "none"}, {"thinkingLevel": "low"}),
        ("gemini-3.8-flash", {"thinking": {"budget_tokens": 0}}, {"thinkingLevel": "low"}),
        ("gemini-flash-latest", {"reasoning_effort": "minimal"}, {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-flash-lite-latest", {"reasoning_effort": "none"}, {"thinkingLevel": "minimal"}),
        ("tuned-model", {"reasoning_effort": "medium"}, {"thinkingBudget": 8192, "includeThoughts": True}),
    ],
)
def test_thinking(model: str, fields: Any, thinking: Any) -> None:
    assert config(model, **fields) == (thinking and {"thinkingConfig": thinking})


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}


def test_response_formats() -> None:
    assert config(response_format={"type": "text"}) is None
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    assert config(response_format=JSON_SCHEMA) == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}


def test_response_format_beside_functions_is_asked_for_in_words_where_it_must() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "responseJsonSchema" in chat(model=NEW, tools=tools, response_format=JSON_SCHEMA)["generationConfig"]
    sent = chat(tools=tools, response_format=JSON_SCHEMA)
    assert "generationConfig" not in sent
    assert json.dumps(SCHEMA, separators=(",", ":")) in sent["systemInstruction"]["parts"][0]["text"]
    forced = chat(model=NEW, tools=tools, tool_choice="required", response_format=JSON_SCHEMA)
    assert ("generationConfig" in forced, forced["systemInstruction"]) == (False, sent["systemInstruction"])


def test_what_only_gemini_knows_passes() -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    fields: dict[str, Any] = {"safety_settings": safety, "labels": {"a": "b"}}
    assert chat(**fields, service_tier="flex") == {
        "contents": [SAID],
        "safetySettings": safety,
        "serviceTier": "flex",
    }
    sent = chat(**fields, service_tier="flex", provider=VERTEX)
    assert (sent["labels"], "serviceTier" in sent) == ({"a": "b"}, False)
    assert "serviceTier" not in chat(service_tier="auto")


def test_counts() -> None:
    body = {"messages": [{"role": "system", "content": "s"}, USER], "temperature": 1}
    counted = {
        "contents": [SAID],
        "systemInstruction": {"parts": [{"text": "s"}]},
        "generationConfig": {"temperature": 1},
    }
    assert render(body, endpoint=COUNT, provider=VERTEX) == counted
    assert render(body, endpoint=COUNT) == {"generateContentRequest": {"model": f"models/{OLD}", **counted}}


def test_embeddings() -> None:
    body = {"input": ["a", "b"], "dimensions": 8, "task_type": "RETRIEVAL_QUERY"}
    assert render(body, "e", endpoint=EMBEDDINGS) == {
        "requests": [
            {
                "model": "models/e",
                "content": {"parts": [{"text": text}]},
                "taskType": "RETRIEVAL_QUERY",
                "outputDimensionality": 8,
            }
            for text in "ab"
        ]
    }
    assert render(body, "e", VERTEX, EMBEDDINGS) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in "ab"],
        "parameters": {"outputDimensionality": 8},
    }
    assert render({"input": "a"}, "e", VERTEX, EMBEDDINGS) == {"instances": [{"content": "a"}]}


ONE = replace(VERTEX, paths=PATHS | {"embeddings": "/models/{model}:embedContent"})


def test_embedding_where_a_call_holds_one_text() -> None:
    body = {"input": ["a"], "dimensions": 8, "task_type": "RETRIEVAL_QUERY"}
    content = {"content": {"parts": [{"text": "a"}]}}
    settings = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}
    assert render(body, "e", ONE, EMBEDDINGS) == content | {"embedContentConfig": settings}
    assert render({"input": "a"}, "e", ONE, EMBEDDINGS) == content
    with pytest.raises(InvalidRequest) as caught:
        render({"input": ["a", "b"]}, "e", ONE, EMBEDDINGS)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_content", "input")


@pytest.mark.parametrize(
    ("given", "code"),
    [([1, 2], "unsupported_content"), ([[1], [2]], "unsupported_content"), ([], "invalid_value"), (3, "invalid_value")],
)
def test_what_cannot_be_embedded(given: Any, code: str) -> None:
    assert refused({"input": given}, EMBEDDINGS) == (code, "input")


NAMES = st.sampled_from(
    [
        *(
            "role",
            "content",
            "type",
            "text",
            "image_url",
            "url",
            "file",
            "file_data",
            "input_audio",
            "data",
            "tool_calls",
            "function_call",
        ),
        *(
            "function",
            "name",
            "arguments",
            "id",
            "tool_call_id",
            "parameters",
            "properties",
            "items",
            "const",
            "format",
        ),
        *("extra_content", "google", "thought_signature", "reasoning_details", "images", "budget_tokens", "schema"),
    ]
)
WORDS = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "file", "data:,x", "https://x/a.png", "{}", "a"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | WORDS | st.text(max_size=4),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)
MESSAGES = st.lists(
    st.builds(
        lambda role, fields: fields | {"role": role},
        st.sampled_from(["user", "assistant", "tool", "function", "system"]),
        st.dictionaries(NAMES, JSON, max_size=4),
    )
    | JSON,
    max_size=3,
)
SETTINGS = st.sampled_from(
    [
        *("tools", "tool_choice", "response_format", "thinking", "reasoning_effort", "stop", "seed", "n", "modalities"),
        *("functions", "function_call"),
        *("logprobs", "top_logprobs", "service_tier", "max_tokens", "temperature", "presence_penalty", "labels"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(MESSAGES | JSON, st.dictionaries(SETTINGS, JSON, max_size=4), st.sampled_from([OLD, NEW]))
def test_any_body_is_a_request_or_is_refused(messages: Any, fields: dict[str, Any], model: str) -> None:
    try:
        render({"messages": messages, **fields}, model)
    except InvalidRequest as error:
        assert error.param
