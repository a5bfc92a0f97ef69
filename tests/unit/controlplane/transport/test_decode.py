"""HTTP requests into request messages."""

import base64
import json
import math
from collections.abc import Sequence
from typing import TypeVar, cast

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from controlplane.errors import InvalidArgument
from controlplane.transport.decode import read_request, require_sound_values
from controlplane.transport.encode import encode_message
from controlplane.transport.methods import admin_methods
from tollway.admin.v1.keys_pb2 import (
    CreateVirtualKeyRequest,
    RotateVirtualKeyRequest,
    UpdateVirtualKeyRequest,
    VirtualKey,
)
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest, Manifest
from tollway.admin.v1.price_books_pb2 import ImportPriceBookRequest
from tollway.admin.v1.routes_pb2 import ROUTE_STRATEGY_PRIORITY, Route, RouteStrategy, UpdateRouteRequest
from tollway.admin.v1.teams_pb2 import CreateTeamRequest, ListTeamsRequest, Team, UpdateTeamRequest
from tollway.admin.v1.usage_pb2 import QueryUsageRequest

METHODS = {method.short_name: method for method in admin_methods()}
Request = TypeVar("Request", bound=Message)


def read(
    kind: type[Request], *, path: Sequence[str] = (), query: Sequence[tuple[str, str]] = (), body: str = ""
) -> Request:
    method = METHODS[kind.DESCRIPTOR.name.removesuffix("Request")]
    return cast(Request, read_request(method, method.rules[0], path, query, body.encode()))


def violations(kind: type[Message], **given: object) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        read(kind, **given)  # type: ignore[arg-type]
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_body_field_and_query_parameters_make_a_create() -> None:
    request = read(
        CreateTeamRequest,
        query=[("team_id", "growth"), ("validateOnly", "true"), ("request_id", "r1")],
        body='{"displayName": "Growth", "labels": {"cost": "7"}}',
    )
    team = Team(display_name="Growth", labels={"cost": "7"})
    assert request == CreateTeamRequest(team_id="growth", validate_only=True, request_id="r1", team=team)


def test_an_empty_body_still_sets_the_body_field() -> None:
    assert read(CreateTeamRequest, query=[("team_id", "a")]).HasField("team")


def test_path_variables_reach_nested_fields() -> None:
    request = read(UpdateTeamRequest, path=["teams/a"], body='{"display_name": "x"}')
    assert request.team == Team(name="teams/a", display_name="x")


def test_a_whole_body_and_a_path_variable_make_one_request() -> None:
    request = read(RotateVirtualKeyRequest, path=["teams/a/keys/b"], body='{"overlap": "0s", "validate_only": true}')
    assert request.name == "teams/a/keys/b"
    assert request.HasField("overlap")
    assert request.overlap.ToSeconds() == 0
    assert request.validate_only


def test_a_name_in_the_body_must_agree_with_the_path() -> None:
    assert read(UpdateTeamRequest, path=["teams/a"], body='{"name": "teams/a"}').team.name == "teams/a"
    found = violations(UpdateTeamRequest, path=["teams/a"], body='{"name": "teams/b"}')
    assert "teams/b" in found["team.name"]
    assert "teams/a" in found["team.name"]


def test_update_masks_are_comma_lists_in_either_case() -> None:
    query = [("update_mask", "displayName, retry.maxAttempts"), ("updateMask", "labels.costCenter,targets")]
    request = read(UpdateRouteRequest, path=["routes/a"], query=query, body="{}")
    assert list(request.update_mask.paths) == ["display_name", "retry.max_attempts", "labels.costCenter", "targets"]


def test_enums_are_read_as_words_and_full_names() -> None:
    for word in ("priority", "PRIORITY", "ROUTE_STRATEGY_PRIORITY"):
        request = read(UpdateRouteRequest, path=["routes/a"], body=f'{{"strategy": "{word}"}}')
        assert request.route.strategy == ROUTE_STRATEGY_PRIORITY


def test_repeated_parameters_are_comma_lists_too() -> None:
    request = read(QueryUsageRequest, query=[("group_by", "team, model"), ("groupBy", "key"), ("interval", "1h")])
    assert list(request.group_by) == ["team", "model", "key"]
    assert request.interval == "1h"


def test_times_are_rfc_3339() -> None:
    request = read(QueryUsageRequest, query=[("start_time", "2026-01-01T02:00:00+02:00")])
    assert request.start_time.ToJsonString() == "2026-01-01T00:00:00Z"


def test_an_empty_parameter_counts_as_absent() -> None:
    assert read(ListTeamsRequest, query=[("page_size", ""), ("page_token", "")]) == ListTeamsRequest()


def test_structs_are_read() -> None:
    body = '{"manifests": [{"apiVersion": "tollway/v1", "kind": "Team", "spec": {"a": [1, null, {"b": true}]}}]}'
    [manifest] = read(ApplyManifestsRequest, body=body).manifests
    assert manifest.spec["a"][2]["b"] is True  # type: ignore[index]


def test_what_only_the_server_sets_may_be_sent_back() -> None:
    body = '{"uid": "u", "create_time": "2026-01-01T00:00:00Z", "etag": "e"}'
    assert read(UpdateTeamRequest, path=["teams/a"], body=body).team.etag == "e"


def test_all_violations_are_told_at_once() -> None:
    found = violations(
        CreateTeamRequest,
        query=[("tem_id", "a"), ("validate_only", "perhaps"), ("team_id", "a"), ("team_id", "b")],
        body='{"colour": 1, "labels": [], "display_name": 7}',
    )
    assert "valid here: team_id, validate_only, request_id" in found["tem_id"]
    assert "true or false" in found["validate_only"]
    assert "more than once" in found["team_id"]
    assert "display_name" in found["team.colour"]
    assert "team.labels" in found
    assert "string" in found["team.display_name"]


@pytest.mark.parametrize("body", ["[]", '"x"', "7", "null", "true"])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    assert "object" in violations(CreateTeamRequest, query=[("team_id", "a")], body=body)["team"]


def test_integers_must_fit() -> None:
    assert "32 bits" in violations(ListTeamsRequest, query=[("page_size", "4294967296")])["page_size"]
    assert "page_size" in violations(ListTeamsRequest, query=[("page_size", "x")])


def test_a_nul_character_is_refused_wherever_it_is() -> None:
    key = read(
        CreateVirtualKeyRequest,
        path=["teams/a"],
        query=[("key_id", "b")],
        body='{"metadata": {"k": "v\\u0000"}, "allowed_models": ["ok", "\\u0000"]}',
    )
    with pytest.raises(InvalidArgument) as caught:
        require_sound_values(key)
    found = [violation.field for violation in caught.value.violations]
    assert sorted(found) == ["virtual_key.allowed_models[1]", "virtual_key.metadata.k"]


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (RotateVirtualKeyRequest(overlap=Duration(seconds=1 << 62)), "overlap"),
        (RotateVirtualKeyRequest(overlap=Duration(seconds=1, nanos=-1)), "overlap"),
        (CreateVirtualKeyRequest(virtual_key=VirtualKey(expire_time=Timestamp(seconds=1 << 60))), "virtual_key"),
        (UpdateRouteRequest(route=Route(strategy=cast(RouteStrategy.ValueType, 99))), "route.strategy"),
        (ApplyManifestsRequest(manifests=[Manifest(spec=Struct(fields={"x": Value(number_value=math.nan)}))]), "spec"),
        (ApplyManifestsRequest(manifests=[Manifest(spec=Struct(fields={"x": Value(number_value=math.inf)}))]), "spec"),
    ],
)
def test_what_only_grpc_can_carry_and_nothing_can_keep_is_refused(request_message: Message, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        require_sound_values(request_message)
    [violation] = caught.value.violations
    assert field in violation.field


def test_sound_values_pass() -> None:
    key = VirtualKey(expire_time=Timestamp(seconds=-62_135_596_800), labels={"a": "b"}, allowed_models=["m"])
    require_sound_values(CreateVirtualKeyRequest(virtual_key=key))
    require_sound_values(UpdateRouteRequest(route=Route(strategy=ROUTE_STRATEGY_PRIORITY)))
    spec = Struct(fields={"x": Value(number_value=0.5), "y": Value(list_value=ListValue(values=[Value()]))})
    require_sound_values(ApplyManifestsRequest(manifests=[Manifest(spec=spec)]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def objects_like(message: Descriptor) -> st.SearchStrategy[object]:
    """Objects whose names are mostly those of the message's fields, and whose values are anything."""
    names = st.sampled_from([*(field.json_name for field in message.fields), "unknown"])
    return st.dictionaries(names | st.text(max_size=4), JSON, max_size=5)


@given(st.data())
def test_any_request_is_a_message_or_an_invalid_argument(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(list(METHODS.values())))
    [rule] = method.rules
    body_type = method.descriptor.input_type
    if rule.body not in ("", "*"):
        body_type = cast(Descriptor, body_type.fields_by_name[rule.body].message_type)
    body = json.dumps(data.draw(objects_like(body_type) | JSON)).encode()
    names = st.sampled_from([*(field.name for field in method.descriptor.input_type.fields), "unknown"]) | st.text(
        max_size=4
    )
    query = data.draw(st.lists(st.tuples(names, st.text(max_size=12)), max_size=4))
    path = [data.draw(st.text(max_size=8)) for _ in rule.template.variables]
    try:
        request = read_request(method, rule, path, query, body)
        require_sound_values(request)
    except InvalidArgument as error:
        assert error.violations
    else:
        assert type(request).FromString(request.SerializeToString()) == request


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
KEYS = st.builds(
    VirtualKey,
    name=st.just("teams/a/keys/b"),
    display_name=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    allowed_models=st.lists(TEXT, max_size=3),
    metadata=st.dictionaries(TEXT, TEXT, max_size=3),
    expire_time=st.none() | st.builds(Timestamp, seconds=st.integers(0, 2**34), nanos=st.integers(0, 999_999_999)),
    state=st.sampled_from([0, 1, 2, 3]),
)


@given(KEYS)
def test_what_was_written_can_be_sent_back(key: VirtualKey) -> None:
    method = METHODS["UpdateVirtualKey"]
    read_back = read_request(method, method.rules[0], [key.name], [], encode_message(key))
    assert cast(UpdateVirtualKeyRequest, read_back).virtual_key == key


def test_bytes_are_base64() -> None:
    body = json.dumps({"litellm_json": base64.b64encode(b"{}\xff").decode()})
    assert read(ImportPriceBookRequest, body=body).litellm_json == b"{}\xff"
    for wrong in ("not base64!", "e30", 5):
        assert "litellm_json" in violations(ImportPriceBookRequest, body=json.dumps({"litellm_json": wrong}))


def test_of_fields_that_exclude_one_another_one_is_taken() -> None:
    body = json.dumps({"installed_catalog": True, "litellm_json": "e30="})
    assert violations(ImportPriceBookRequest, body=body) == {
        "litellm_json": "cannot be given together with installed_catalog"
    }
    assert read(ImportPriceBookRequest, body='{"installed_catalog": true, "litellm_json": null}').installed_catalog
