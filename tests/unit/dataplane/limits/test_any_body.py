from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.call import Endpoint
from dataplane.limits.estimate import size_of
from dataplane.snapshot import Target
from tests.fakes.outcomes import CHAT, UPSTREAM, make_call

MESSAGES = Endpoint("messages", "/v1/messages", "chat", True, format="anthropic")
EMBEDDINGS = Endpoint("embeddings", "/v1/embeddings", "embeddings", False)
RERANK = Endpoint("rerank", "/v1/rerank", "rerank", False)
CALLED = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
USED = {"content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]}


def chat(part: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}], **fields}


BODIES: list[tuple[Endpoint, Any]] = [
    (MESSAGES, chat({"type": "document", "source": {"type": "text", "data": "a"}}, output_config={"format": {}})),
    (MESSAGES, chat({"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}})),
    (CHAT, chat({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, response_format={})),
    (CHAT, chat({"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}, tools=[{"type": "custom"}])),
    (CHAT, {"messages": [{"role": "assistant", **CALLED, "images": ["u"]}, {"role": "assistant", **USED}]}),
    (CHAT, {"messages": [], "additionalModelRequestFields": {"tools": []}, "plugins": [], "prediction": {}}),
    (CHAT, {"prompt": [[1, 2]], "n": 1, "best_of": 2, "max_tokens": 1, "functions": [{}]}),
    (EMBEDDINGS, {"input": [[1]]}),
    (RERANK, {"query": "q", "documents": [{"text": "d"}]}),
    (RERANK, {"query": {"image": "u"}, "documents": [{"type": "image", "data": {"image_url": {"url": "u"}}}]}),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "text", "https://[", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "url", "x"]), inner),
    max_leaves=5,
)


@example([1, 0, 0, 1, 0], ["text"])
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), VALUES)
def test_no_body_whatever_makes_it_raise(path: list[int], value: Any) -> None:
    for endpoint, body in BODIES:
        size = size_of(make_call(body=mutated(body, path, value), endpoint=endpoint), [Target(UPSTREAM, "sonar")])
        assert size.input_bound >= 0
        assert isinstance(size.unbounded, str)


def mutated(whole: Any, path: list[int], value: Any) -> Any:
    """`whole` with `value` in the place of what is at the end of `path`, or where it leads no further."""
    if not path or not isinstance(whole, dict | list) or not whole:
        return value
    names = list(whole) if isinstance(whole, dict) else list(range(len(whole)))
    name = names[path[0] % len(names)]
    inner = mutated(whole[name], path[1:], value)
    return {**whole, name: inner} if isinstance(whole, dict) else [*whole[:name], inner, *whole[name + 1 :]]
