"""Requests are what each provider takes: settings that it refuses are left out, others have its own names."""

import copy
from typing import Any

import orjson
import pytest

from dataplane.dialects.openai import OpenAIDialect
from dataplane.dialects.openai.quirks import adapt_body
from dataplane.errors import InvalidRequest
from dataplane.snapshot import Secret, Target, Upstream
from tests.fakes.outcomes import CHAT, make_call
from tests.golden.recordings import Recording, read_recordings
from tollway.resources.providers import PROVIDERS, ProviderRow

DIALECT = OpenAIDialect()


def _chats(row: ProviderRow) -> bool:
    return row.dialect == "openai" and "chat_completions" in row.paths


KINDS = ("chat", "completions", "embeddings")
SPELLED = {"azure_openai": "azure-openai", "llamacpp": "llama-cpp"}


def row_of(recording: Recording) -> ProviderRow | None:
    """The catalog's row for who was recorded."""
    provider = recording.api.partition(".")[0]
    return PROVIDERS.get(SPELLED.get(provider, provider))


USER = {"role": "user", "content": "hi"}
PART = {"type": "text", "text": "p"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def sent(
    provider: str,
    model: str = "m",
    url: str = "",
    *,
    stream: bool = False,
    limit: int | None = None,
    translated: bool = False,
    **body: Any,
) -> Any:
    """The body that `provider` is sent, and nothing of the call is changed by that."""
    body = {"model": "smart", "messages": [USER], **body}
    before = copy.deepcopy(body)
    row = PROVIDERS[provider].at(model, {})
    base_url = url or row.base_url or "http://u.example"
    upstream = Upstream("upstreams/u", "u", provider, base_url, "", {}, (), None, {}, Secret(""))
    call = make_call(endpoint=CHAT, body=body, stream=stream, output_limit=limit, is_translated=translated)
    rendered = orjson.loads(DIALECT.render_request(call, Target(upstream, model), row).body)
    assert body == before
    return rendered


@pytest.mark.parametrize("provider", ["openai", "openai_compatible", "sim", "azure-openai", "openrouter", "vllm"])
def test_values_pass_as_they_came(provider: str) -> None:
    said: dict[str, Any] = {
        "temperature": 0.5,
        "max_tokens": 7,
        "stop": ["a"],
        "unknown": {"x": [1]},
        "user": "u",
        "seed": 1,
    }
    assert sent(provider, **said) == {"model": "m", "messages": [USER], **said}
    assert sent(provider, stream=True)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("provider", ["mistral", "perplexity", "databricks"])
def test_usage_is_not_asked_of_those_that_refuse_to_be_asked(provider: str) -> None:
    assert "stream_options" not in sent(provider, stream=True, stream_options={"include_usage": True})


def test_mistral_has_names_of_its_own() -> None:
    said = sent("mistral", seed=3, max_completion_tokens=9, tool_choice="required", reasoning_effort="low", user="u")
    assert said["random_seed"] == 3
    assert said["max_tokens"] == 9
    assert (said["tool_choice"], said["reasoning_effort"]) == ("any", "high")
    assert not {"seed", "max_completion_tokens", "user"} & said.keys()
    named = {"type": "function", "function": {"name": "f"}}
    assert sent("mistral", tool_choice=named)["tool_choice"] == named


def test_mistral_gets_short_ids_that_stay_paired() -> None:
    calls = [{"id": "call_0123456789", "type": "function", "function": {}}, {"id": "abcDEF123"}, {}]
    messages = [
        USER,
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "1"},
        {"role": "tool", "tool_call_id": "abcDEF123", "content": "2"},
    ]
    _, asked, first, second = sent("mistral", messages=messages)["messages"]
    assert len(asked["tool_calls"][0]["id"]) == 9
    assert asked["tool_calls"][0]["id"].isalnum()
    assert first["tool_call_id"] == asked["tool_calls"][0]["id"]
    assert second["tool_call_id"] == asked["tool_calls"][1]["id"] == "abcDEF123"
    assert "id" not in asked["tool_calls"][2]


def test_mistral_continues_the_assistants_words() -> None:
    begun = {"role": "assistant", "content": "It is"}
    assert sent("mistral", messages=[USER, begun])["messages"][-1] == {**begun, "prefix": True}
    assert sent("mistral")["messages"] == [USER]


def test_groq_refuses_some_settings_and_names_of_speakers() -> None:
    said = sent("groq", n=2, logprobs=True, top_logprobs=2, logit_bias={}, messages=[{**USER, "name": "ada"}])
    assert said == {"model": "m", "messages": [USER]}


@pytest.mark.parametrize(
    ("provider", "said"),
    [("groq", {"n": 1}), ("together", {"safety_model": None}), ("mistral", {"prompt_cache_key": "k", "n": 2})],
)
def test_members_pass_that_the_provider_is_known_to_take(provider: str, said: dict[str, Any]) -> None:
    assert sent(provider, **said) == {"model": "m", "messages": [USER], **said}


@pytest.mark.parametrize("count", [2, True, 1.0, "1", None])
def test_groq_gives_one_answer(count: Any) -> None:
    assert "n" not in sent("groq", n=count)


def test_llama_cpp_is_told_the_limit_by_both_names() -> None:
    both = {"max_completion_tokens": 5, "max_tokens": 5}
    assert sent("llama-cpp", max_completion_tokens=5).items() >= both.items()
    assert sent("llama-cpp", max_completion_tokens=5, max_tokens=9).items() >= both.items()
    assert "max_completion_tokens" not in sent("llama-cpp", max_tokens=5)
    assert sent("llama-cpp", limit=5)["max_tokens"] == 5


TAKEN = [
    recording
    for recording in read_recordings()
    if recording.status == 200 and recording.request
    if recording.api.rpartition(".")[2] in KINDS and row_of(recording) is not None
]


@pytest.mark.parametrize("recording", TAKEN, ids=lambda recording: recording.id)
def test_nothing_is_left_out_that_a_recording_shows_to_be_taken(recording: Recording) -> None:
    """But for other models that OpenRouter is to choose among, which the caller may not be allowed to call."""
    row = row_of(recording)
    assert row is not None and recording.request is not None
    said = adapt_body(recording.request, row.at(recording.request.get("model", ""), {}), row.base_url)
    assert recording.request.keys() - said.keys() <= ({"models"} if row.name == "openrouter" else set())


def test_perplexity_wants_roles_in_turn() -> None:
    parts = [{"type": "text", "text": "b"}]
    messages = [
        {"role": "developer", "content": "x"},
        {"role": "system", "content": "y"},
        {"role": "user", "content": "a"},
        {"role": "user", "content": parts},
    ]
    assert sent("perplexity", messages=messages, tools=[{}])["messages"] == [
        {"role": "system", "content": "x\n\ny"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, *parts]},
    ]


@pytest.mark.parametrize(
    ("contents", "joined"),
    [
        (["a", "b", "c"], "a\n\nb\n\nc"),
        (["a", "b", [PART], "c"], [{"type": "text", "text": "a\n\nb"}, PART, {"type": "text", "text": "c"}]),
        ([[PART], "a", "b", [PART]], [PART, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, PART]),
        ([None, "a"], "a"),
        ([None, None], None),
    ],
)
def test_runs_of_one_role_become_one_message(contents: list[Any], joined: Any) -> None:
    messages = [{"role": "user", "content": content} for content in contents]
    answer = {"role": "assistant", "content": "z"}
    merged = sent("perplexity", messages=[*messages, answer, 5, *messages[:1]])["messages"]
    assert merged == [{"role": "user", "content": joined}, answer, 5, messages[0]]


def test_what_messages_of_one_role_hold_besides_is_kept() -> None:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in "abc"]
    messages = [
        {"role": "assistant", "content": None, "tool_calls": calls[:1], "reasoning_content": "x"},
        {"role": "assistant", "content": "hm", "tool_calls": calls[1:], "reasoning_content": "y", "name": "n"},
        {"role": "assistant", "content": "so", "name": "m", "tool_calls": None},
    ]
    (merged,) = sent("perplexity", messages=messages)["messages"]
    assert merged == {"role": "assistant", "content": "hm\n\nso", "tool_calls": calls, "name": "n"}
    row = ProviderRow("p", traits=frozenset({"alternating_roles"}))
    (whole,) = adapt_body({"messages": messages}, row)["messages"]
    assert whole == {**merged, "reasoning_content": "xy"}


def test_answers_of_tools_stay_apart() -> None:
    answers = [{"role": "tool", "tool_call_id": name, "content": name} for name in "ab"]
    assert sent("perplexity", messages=[USER, *answers])["messages"] == [USER, *answers]


@pytest.mark.parametrize(("content", "count"), [("x" * 4_000, 30_000), ([PART], 400_000)])
def test_long_runs_of_one_role_are_joined_in_little_time(content: Any, count: int) -> None:
    row = PROVIDERS["perplexity"].at("m", {})
    (message,) = adapt_body({"messages": [{"role": "user", "content": content}] * count}, row)["messages"]
    joiner = "\n\n" if isinstance(content, str) else ""
    assert len(message["content"]) == count * len(content) + (count - 1) * len(joiner)


def test_deepseek_is_told_the_schema_in_words() -> None:
    said = sent("deepseek", response_format=SCHEMA)
    assert said["response_format"] == {"type": "json_object"}
    told, asked = said["messages"]
    assert told["role"] == "system"
    assert '{"type":"object"}' in told["content"]
    assert asked == USER


def test_deepseek_reasoner_is_free_to_call() -> None:
    assert "tool_choice" not in sent("deepseek", "deepseek-reasoner", tool_choice="required", logprobs=True)
    assert sent("deepseek", "deepseek-reasoner", tool_choice="none")["tool_choice"] == "none"
    assert sent("deepseek", "deepseek-chat", tool_choice="required")["tool_choice"] == "required"


CLAUDES: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "reasoning": {"effort": "low"},
    "thinking": {"type": "adaptive"},
    "top_k": 3,
}


@pytest.mark.parametrize(
    ("provider", "known"),
    [
        ("openai", set()),
        ("azure-openai", set()),
        ("groq", set()),
        ("xai", set()),
        ("cerebras", set()),
        ("deepseek", {"thinking"}),
        ("mistral", {"top_k"}),
        ("nvidia-nim", {"top_k"}),
        ("perplexity", {"top_k"}),
        ("together", {"reasoning", "top_k"}),
        ("huggingface", {"reasoning", "top_k"}),
        ("databricks", {"thinking", "top_k"}),
        ("fireworks", {"reasoning", "thinking", "top_k"}),
        ("openrouter", CLAUDES.keys()),
        ("vllm", CLAUDES.keys()),
        ("openai_compatible", CLAUDES.keys()),
    ],
)
def test_settings_for_claude_models_go_to_those_that_know_them(provider: str, known: Any) -> None:
    said = sent(provider, translated=True, reasoning_effort="high", **CLAUDES)
    assert said.keys() & CLAUDES.keys() == known
    assert said["reasoning_effort"] == "high"


@pytest.mark.parametrize("provider", ["openai", "azure-openai"])
def test_who_speaks_openais_format_is_taken_at_their_word(provider: str) -> None:
    assert CLAUDES.items() <= sent(provider, **CLAUDES).items()


@pytest.mark.parametrize(
    ("thinking", "switched"),
    [
        ({"type": "adaptive", "display": "omitted"}, {"type": "enabled"}),
        ({"type": "enabled", "budget_tokens": 2048}, {"type": "enabled"}),
        ({"type": "enabled", "x": 1}, {"type": "enabled", "x": 1}),
        ({"type": "disabled"}, {"type": "disabled"}),
        ("adaptive", "adaptive"),
    ],
)
def test_deepseek_thinks_or_does_not(thinking: Any, switched: Any) -> None:
    assert sent("deepseek", thinking=thinking)["thinking"] == switched
    assert sent("vllm", thinking=thinking)["thinking"] == thinking


@pytest.mark.parametrize("provider", ["openai", "azure-openai"])
def test_reasoning_models_of_openai_take_no_max_tokens(provider: str) -> None:
    """Who speaks to them in another format cannot know; who speaks OpenAI's is taken at their word."""
    settings: dict[str, Any] = {"max_tokens": 5, "temperature": 0.1}
    for model in ("o4-mini", "gpt-5.2", "gpt-5-chat-latest"):
        assert sent(provider, model, translated=True, **settings)["max_completion_tokens"] == 5
    assert "temperature" not in sent(provider, "o3-2025-04-16", translated=True, **settings)
    assert "temperature" not in sent(provider, "gpt-5-mini", translated=True, **settings)
    assert sent(provider, "gpt-5.2", translated=True, **settings)["temperature"] == 0.1
    assert sent(provider, "gpt-4o", translated=True, **settings)["max_tokens"] == 5
    assert settings.items() <= sent(provider, "gpt-5-mini", **settings).items()


@pytest.mark.parametrize(
    ("model", "takes_effort"),
    [("gpt-5.2", True), ("o3", True), ("m", True), ("gpt-4.1", False), ("gpt-4o-mini", False)],
)
def test_only_models_that_reason_are_told_how_much(model: str, takes_effort: bool) -> None:
    assert ("reasoning_effort" in sent("openai", model, translated=True, reasoning_effort="low")) is takes_effort
    assert "reasoning_effort" in sent("openai", model, reasoning_effort="low")


def test_limit_of_admission_has_the_providers_name() -> None:
    assert sent("openai", limit=5)["max_completion_tokens"] == 5
    assert sent("mistral", limit=5)["max_tokens"] == 5
    assert sent("groq", limit=5)["max_completion_tokens"] == 5
    assert sent("sim", limit=5)["max_tokens"] == 5


def test_xai_models_that_reason_refuse_penalties() -> None:
    assert "stop" not in sent("xai", "grok-4-0709", stop="x", reasoning_effort="low")
    assert "reasoning_effort" not in sent("xai", "grok-4-0709", reasoning_effort="low")
    assert sent("xai", "grok-3-mini", reasoning_effort="low")["reasoning_effort"] == "low"
    assert sent("xai", "grok-4.5", reasoning_effort="low")["reasoning_effort"] == "low"


def test_what_clients_of_other_providers_send_is_left_out() -> None:
    cached = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "user", "content": [cached]},
        {"role": "assistant", "content": "b", "reasoning_content": "r", "thinking_blocks": [], "reasoning_details": []},
    ]
    tools = [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages.append({"role": "assistant", "tool_calls": [{**call, "cache_control": {"type": "ephemeral"}}, 5]})
    said = sent("openai", messages=messages, tools=tools)
    assert said["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": "b"},
        {"role": "assistant", "tool_calls": [call, 5]},
    ]
    assert said["tools"] == [{"type": "function", "function": {"name": "f"}}]
    for url in ("https://eu.api.openai.com/v1", "https://proxy.example/v1"):
        is_whole = sent("openai", "m", url, messages=messages, tools=tools)["messages"] == messages
        assert is_whole == ("openai.com" not in url)
    assert sent("openai_compatible", messages=messages, tools=tools)["messages"] == messages
    assert sent("deepseek", messages=messages)["messages"][1] == {
        "role": "assistant",
        "content": "b",
        "reasoning_content": "r",
    }


@pytest.mark.parametrize("provider", sorted(name for name, row in PROVIDERS.items() if _chats(row)))
@pytest.mark.parametrize("odd", [None, 5, "x", {}, [None, 5, "x", {"content": [None, 5]}, {"tool_calls": 5}]])
def test_odd_bodies_are_sent_as_they_are(provider: str, odd: Any) -> None:
    sent(provider, messages=odd, tools=odd, response_format=odd, tool_choice=odd, stop=odd, n=odd)


@pytest.mark.parametrize("translated", [False, True])
def test_openrouter_is_asked_for_no_models_but_the_one(translated: bool) -> None:
    others: dict[str, Any] = {"models": ["a", "b"], "route": "fallback", "preset": "p"}
    assert sent("openrouter", translated=translated, seed=1, **others) == {"model": "m", "messages": [USER], "seed": 1}
    assert sent("openai_compatible", **others).keys() >= others.keys()


def test_openrouters_own_tools_are_run_by_no_other_models() -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": {"model": {"type": "string"}}}}
    tools = [
        function,
        {"type": "openrouter:advisor", "parameters": {"model": "dear", "forward_transcript": True}},
        {"type": "openrouter:fusion", "parameters": {"analysis_models": ["dear"]}},
        {"type": "openrouter:web_search"},
        7,
    ]
    said = sent("openrouter", tools=tools, plugins=[{"id": "web"}, {"id": "fusion", "model": "dear", "models": ["a"]}])
    assert said["tools"] == [
        function,
        {"type": "openrouter:advisor", "parameters": {"forward_transcript": True}},
        {"type": "openrouter:fusion", "parameters": {}},
        {"type": "openrouter:web_search"},
        7,
    ]
    assert said["plugins"] == [{"id": "web"}, {"id": "fusion"}]
    assert sent("openai_compatible", tools=tools)["tools"] == tools


def test_cerebras_takes_penalties() -> None:
    kept: dict[str, Any] = {"frequency_penalty": 0.5, "presence_penalty": 0.2, "parallel_tool_calls": False}
    assert sent("cerebras", service_tier="priority", logit_bias={}, **kept) == {
        "model": "m",
        "messages": [USER],
        **kept,
    }


@pytest.mark.parametrize(
    ("provider", "name", "value"),
    [
        (
            "groq",
            "compound_custom",
            {"models": {"answering_model": "dear"}, "tools": {"enabled_tools": ["web_search"]}},
        ),
        ("together", "safety_model", "meta-llama/Meta-Llama-Guard-3-8B"),
        ("xai", "deferred", True),
    ],
)
def test_members_that_name_other_models_or_put_the_answer_off_are_left_out(
    provider: str, name: str, value: Any
) -> None:
    assert sent(provider, **{name: value}) == {"model": "m", "messages": [USER]}


def source(**parameters: Any) -> dict[str, Any]:
    own_key = {"authentication": {"type": "api_key", "key": "k"}}
    return {"type": "azure_search", "parameters": {"endpoint": "https://s", "index_name": "i", **own_key, **parameters}}


BY_IDENTITY = {"type": "user_assigned_managed_identity", "managed_identity_resource_id": "/subscriptions/s"}
DEPLOYED = {"type": "deployment_name", "deployment_name": "dear"}


@pytest.mark.parametrize(
    ("sources", "param"),
    [
        (
            [source(), source(authentication={"type": "system_assigned_managed_identity"})],
            "[1].parameters.authentication",
        ),
        ([source(authentication=BY_IDENTITY)], "[0].parameters.authentication"),
        ([source(authentication=None)], "[0].parameters.authentication"),
        ([source(authentication={"type": ["api_key"]})], "[0].parameters.authentication"),
        ([source(embedding_dependency=DEPLOYED)], "[0].parameters.embedding_dependency"),
        (source(authentication=BY_IDENTITY), "[0].parameters.authentication"),
        (["junk"], "[0].parameters.authentication"),
    ],
)
def test_azure_reads_no_data_as_another_than_the_caller(sources: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent("azure-openai", data_sources=sources)
    assert (caught.value.error_code, caught.value.param) == ("unsupported_parameter", f"data_sources{param}")


def test_azure_reads_data_with_the_callers_own_key() -> None:
    sources = [source(embedding_dependency={"type": "endpoint", "endpoint": "https://e"})]
    assert sent("azure-openai", data_sources=sources)["data_sources"] == sources


@pytest.mark.parametrize(
    "provider", ["llama-cpp", "ollama", "together", "mistral", "deepseek", "fireworks", "perplexity", "databricks"]
)
def test_a_limit_that_is_null_takes_no_other_one_away(provider: str) -> None:
    assert sent(provider, max_completion_tokens=None, limit=5)["max_tokens"] == 5
    assert sent(provider, max_completion_tokens=None, max_tokens=6)["max_tokens"] == 6
