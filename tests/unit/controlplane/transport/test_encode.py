"""Messages as JSON."""

import json

from google.protobuf.any_pb2 import Any as PackedMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from controlplane.transport.encode import encode_message
from tollway.admin.v1.keys_pb2 import KEY_STATE_ACTIVE, VirtualKey
from tollway.admin.v1.manifests_pb2 import ApplyManifestsResponse, ManifestResult
from tollway.admin.v1.routes_pb2 import ROUTE_STRATEGY_WEIGHTED, Route, Target, Timeouts
from tollway.admin.v1.upstreams_pb2 import Upstream, UpstreamSecret
from tollway.admin.v1.usage_pb2 import UsageRow


def written(message: Message) -> object:
    return json.loads(encode_message(message))


def test_empty_messages_are_empty_objects() -> None:
    assert encode_message(Empty()) == b"{}"


def test_defaults_are_written_and_integers_are_numbers() -> None:
    row = UsageRow(group={"team": "a"}, requests=2**53 + 1, cost_usd="12.50", states={"reported": 3})
    assert written(row) == {
        "group": {"team": "a"},
        "requests": 9007199254740993,
        "attempts": 0,
        "refused": 0,
        "errors": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost_usd": "12.50",
        "states": {"reported": 3},
        "billable_attempts": 0,
        "failed_cost_usd": "",
        "adjustment_usd": "",
    }


def test_enums_times_and_durations_are_words() -> None:
    route = Route(
        name="routes/a",
        strategy=ROUTE_STRATEGY_WEIGHTED,
        targets=[Target(upstream="upstreams/a", weight=0)],
        timeouts=Timeouts(total=Duration(seconds=60)),
        create_time=Timestamp(seconds=1767225600, nanos=500_000_000),
    )
    found = written(route)
    assert isinstance(found, dict)
    assert found["strategy"] == "weighted"
    assert found["timeouts"] == {"total": "60s"}
    assert found["create_time"] == "2026-01-01T00:00:00.500Z"
    assert found["targets"] == [{"upstream": "upstreams/a", "model": "", "weight": 0, "priority": 0}]
    assert "update_time" not in found
    assert "retry" not in found


def test_a_state_is_a_short_word_and_nothing_when_unset() -> None:
    assert b'"state":"active"' in encode_message(VirtualKey(state=KEY_STATE_ACTIVE))
    assert b"state" not in encode_message(VirtualKey())


def test_what_is_input_only_is_never_written() -> None:
    upstream = Upstream(name="upstreams/a", secret=UpstreamSecret(value="sk-canary", fingerprint="f"))
    assert b"canary" not in encode_message(upstream)
    assert b'"secret":{"ref":"","fingerprint":"f"}' in encode_message(upstream)


def test_structs_are_plain_json() -> None:
    result = ManifestResult(kind="Team")
    change = result.changes.add(path="x")
    change.before.null_value = 0  # type: ignore[assignment]
    change.after.struct_value.update({"n": 3, "f": 0.5, "l": [True, "s", None]})
    found = written(ApplyManifestsResponse(results=[result], revision=7))
    assert isinstance(found, dict)
    [shown] = found["results"][0]["changes"]
    assert shown == {"path": "x", "before": None, "after": {"n": 3, "f": 0.5, "l": [True, "s", None]}}
    assert found["revision"] == 7


def test_error_details_say_their_type() -> None:
    packed = PackedMessage()
    packed.Pack(error_details_pb2.ErrorInfo(reason="X", domain="tollway", metadata={"a": "b"}))
    assert written(packed) == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "X",
        "domain": "tollway",
        "metadata": {"a": "b"},
    }
