"""HTTP requests into request messages."""

from collections.abc import Sequence
from typing import TypeVar, cast

import pytest
from google.protobuf.message import Message

from controlplane.errors import InvalidArgument
from controlplane.transport.decode import read_request, require_storable_text
from controlplane.transport.methods import admin_methods
from tollway.admin.v1.keys_pb2 import CreateVirtualKeyRequest, RotateVirtualKeyRequest
from tollway.admin.v1.manifests_pb2 import ApplyManifestsRequest
from tollway.admin.v1.routes_pb2 import ROUTE_STRATEGY_PRIORITY, UpdateRouteRequest
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
    assert request.interval.ToSeconds() == 3600


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
        require_storable_text(key)
    found = [violation.field for violation in caught.value.violations]
    assert sorted(found) == ["virtual_key.allowed_models[1]", "virtual_key.metadata.k"]
