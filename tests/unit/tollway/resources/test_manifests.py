"""Manifests: what is read, and that everything wrong is told with its place."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct

from tollway.admin.v1.keys_pb2 import VirtualKey
from tollway.admin.v1.manifests_pb2 import Manifest, ManifestMetadata
from tollway.admin.v1.routes_pb2 import ROUTE_STRATEGY_PRIORITY, ROUTE_STRATEGY_WEIGHTED, Route
from tollway.admin.v1.teams_pb2 import Team
from tollway.resources.manifests import manifest_document, read_closed_set, read_manifest, read_manifests
from tollway.resources.spelling import MAX_GUESSES
from tollway.resources.violations import MAX_LISTED


def document(kind: str, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "tollway/v1", "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec or {}}


def sim(name: str = "sim") -> dict[str, Any]:
    return document("Upstream", name, {"provider": "sim", "base_url": "http://127.0.0.1:9/v1"})


def wrong(*documents: object) -> list[str]:
    return [str(violation) for violation in read_closed_set(documents)[1]]


def read_one(spec: dict[str, Any]) -> Route:
    objects, violations = read_closed_set([sim(), document("Route", "chat", spec)])
    assert violations == []
    route = objects[1].resource
    assert isinstance(route, Route)
    return route


def test_defaults_and_full_names_are_written_out() -> None:
    route = read_one({"targets": [{"upstream": "sim"}, {"upstream": "upstreams/sim", "model": "echo", "weight": 0}]})
    assert (route.name, route.model, route.strategy) == ("routes/chat", "chat", ROUTE_STRATEGY_WEIGHTED)
    assert [(t.upstream, t.model, t.weight, t.priority) for t in route.targets] == [
        ("upstreams/sim", "chat", 1, 0),
        ("upstreams/sim", "echo", 0, 0),
    ]
    assert route.retry.max_attempts == 3
    assert route.fallback.enabled is True


@pytest.mark.parametrize("strategy", ["priority", "PRIORITY", "ROUTE_STRATEGY_PRIORITY"])
@pytest.mark.parametrize("timeouts", [{"first_byte": "5s"}, {"firstByte": "5s"}])
def test_words_full_names_and_both_cases_are_accepted(strategy: str, timeouts: dict[str, str]) -> None:
    route = read_one({"strategy": strategy, "timeouts": timeouts, "targets": [{"upstream": "sim"}]})
    assert route.strategy == ROUTE_STRATEGY_PRIORITY
    assert route.timeouts.first_byte.seconds == 5


def test_fallback_can_be_switched_off() -> None:
    route = read_one({"fallback": {"enabled": False}, "targets": [{"upstream": "sim"}]})
    assert route.fallback.enabled is False


def test_a_key_lives_in_its_team_and_is_owned_by_it() -> None:
    objects, violations = read_closed_set(
        [
            document("VirtualKey", "ci", {"secret": {"ref": "env:CI_KEY"}, "metadata": {"a": "b"}}, team="growth"),
            document("Team", "growth"),
        ]
    )
    assert violations == []
    key = objects[0].resource
    assert isinstance(key, VirtualKey)
    assert (key.name, key.owner, key.secret.ref) == ("teams/growth/keys/ci", "teams/growth", "env:CI_KEY")


def test_labels_stand_in_metadata_or_in_the_spec() -> None:
    for one in (
        document("Team", "a", labels={"cost": "12"}),
        document("Team", "a", {"labels": {"cost": "12"}}),
        document("Team", "a", {"labels": {"cost": "12"}}, labels={"cost": "12"}),
    ):
        found, violations = read_manifest(one, "manifests[0]")
        assert violations == []
        assert found is not None and isinstance(found.resource, Team)
        assert dict(found.resource.labels) == {"cost": "12"}
    assert wrong(document("Team", "a", {"labels": {"x": "1"}}, labels={"x": "2"})) == [
        'manifests[0].metadata.labels: Team "a": differ from those in spec.labels; give them once'
    ]


@pytest.mark.parametrize(
    ("given", "place", "says"),
    [
        ("text", "manifests[0]", "must be an object"),
        ({}, "manifests[0].kind", "is required; known are Team, VirtualKey, Upstream, Route, Price"),
        (document("Quota", "q"), "manifests[0].kind", '"Quota" is not a kind that this release knows'),
        ({**document("Team", "a"), "apiVersion": "v2"}, "manifests[0].apiVersion", "must be tollway/v1"),
        (
            {**document("Team", "a"), "extra": 1},
            "manifests[0].extra",
            "a manifest has apiVersion, kind, metadata, spec",
        ),
        (document("Team", "Bad Name"), "manifests[0].metadata.name", "must be a string that matches"),
        (document("Team", "a", team="b"), "manifests[0].metadata.team", "a Team belongs to no team"),
        (document("VirtualKey", "k"), "manifests[0].metadata.team", "is required"),
        (
            document("Team", "a", {"name": "b"}),
            "manifests[0].spec.name",
            "unknown field; Team has display_name, labels",
        ),
        (document("Team", "a", {"uid": "b"}), "manifests[0].spec.uid", "unknown field"),
        (document("Team", "a", {"display_name": 12}), "manifests[0].spec.display_name", "put it in quotes"),
        (document("Team", "a", {"display_name": "x", "displayName": "y"}), "manifests[0].spec.display_name", "twice"),
        (document("Team", "a", {"labels": ["x"]}), "manifests[0].spec.labels", "must be an object, not a list"),
        (
            document("VirtualKey", "k", {"state": "active"}, team="t"),
            "manifests[0].spec.state",
            "VirtualKey has display_name, labels, secret, owner, allowed_models, metadata, expire_time",
        ),
        (
            document("Upstream", "u", {"provider": "openai", "secret": {"value": "sk-123"}}),
            "manifests[0].spec.secret.value",
            "manifests hold no secrets; use `ref: env:NAME`",
        ),
        (
            document("Route", "r", {"targets": [{"upstream": "sim", "weight": 1.5}]}),
            "manifests[0].spec.targets[0].weight",
            "must be a whole number",
        ),
        (
            document("Route", "r", {"targets": {"upstream": "sim"}}),
            "manifests[0].spec.targets",
            "must be a list, not an object",
        ),
        (
            document("Route", "r", {"strategy": "cheapest", "targets": [{"upstream": "sim"}]}),
            "manifests[0].spec.strategy",
            '"cheapest" is not one of weighted, priority',
        ),
        (
            document("Route", "r", {"timeouts": {"idle": "soon"}, "targets": [{"upstream": "sim"}]}),
            "manifests[0].spec.timeouts.idle",
            'must be a duration such as "60s"',
        ),
        (
            document("VirtualKey", "k", {"expire_time": "tomorrow"}, team="t"),
            "manifests[0].spec.expire_time",
            "must be a time in RFC 3339",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(given: object, place: str, says: str) -> None:
    told = [line for line in wrong(given, sim()) if line.startswith(f"{place}: ")]
    assert len(told) == 1
    assert says in told[0]


def test_a_secret_value_is_never_repeated() -> None:
    assert "sk-123" not in str(wrong(document("Upstream", "u", {"provider": "openai", "secret": {"value": "sk-123"}})))


def test_everything_wrong_is_told_at_once() -> None:
    told = wrong(
        document("Route", "one", {"targets": [{"upstream": "nowhere"}, {"upstream": "sim", "weigth": 1}]}),
        document("VirtualKey", "k", {}, team="ghost"),
        document("Price", "p", {"model": "m", "rates": [{"meter": "tokens", "price_usd": "1"}]}),
        sim(),
        sim(),
    )
    assert [line.partition(": ")[0] for line in told] == [
        "manifests[0].spec.targets[1].weigth",
        "manifests[2].spec.rates[0].meter",
        "manifests[4]",
        "manifests[0].spec.targets[0].upstream",
        "manifests[1].metadata.team",
    ]
    assert '"upstreams/nowhere" does not exist' in told[3]
    assert 'Route "one"' in told[3]


def test_nothing_to_apply() -> None:
    assert wrong() == ["manifests: nothing to apply: give at least one manifest"]


def test_a_model_has_one_route() -> None:
    targets = {"targets": [{"upstream": "sim"}]}
    told = wrong(document("Route", "a", {"model": "gpt", **targets}), document("Route", "gpt", targets), sim())
    assert told == ['manifests[1].spec.model: model "gpt" is served by routes/a already; a model has one route']


def test_a_manifest_message_is_read_like_a_document() -> None:
    spec = Struct()
    spec.update({"targets": [{"upstream": "sim", "weight": 3}]})
    manifest = Manifest(api_version="tollway/v1", kind="Route", metadata=ManifestMetadata(name="chat"), spec=spec)
    objects, violations = read_closed_set([manifest_document(manifest), sim()])
    assert violations == []
    route = objects[0].resource
    assert isinstance(route, Route)
    assert route.targets[0].weight == 3


def test_fields_that_are_options_are_told_where_they_belong() -> None:
    spec = {"provider": "sim", "base_url": "http://s/v1", "apiVersion": "v", "project_id": "p", "models_": [], "x": 1}
    said = {v.field.rpartition(".")[2]: v.description for v in read_manifests([document("Upstream", "a", spec)])[1]}
    assert "write it in `options`: {api_version: ...}" in said["apiVersion"]
    assert "write it in `options`: {project: ...}" in said["project_id"]
    assert 'did you mean "models"?' in said["models_"]
    assert "unknown field; Upstream has" in said["x"]


@pytest.mark.parametrize(
    "spec",
    [
        {f"display_nam{number}": 1 for number in range(1000)},
        {"labels": {f"bad label {number}": "x" for number in range(999)}},
    ],
)
def test_of_much_that_is_wrong_the_first_is_told_and_how_much_more_there_is(spec: dict[str, object]) -> None:
    _, violations = read_manifests([document("Team", "a", spec)])
    assert len(violations) == MAX_LISTED + 1
    assert violations[-1].field == "manifests[0].spec"
    assert f"has {1000 - MAX_LISTED} more violations" in violations[-1].description


def test_only_the_first_of_many_unknown_fields_are_guessed_at() -> None:
    targets = [{f"upstrea{number}": "a"} for number in range(30)]
    _, violations = read_manifests([document("Route", "r", {"targets": targets})])
    assert sum('did you mean "upstream"?' in violation.description for violation in violations) == MAX_GUESSES


def test_only_the_first_of_many_unknown_options_are_guessed_at() -> None:
    options = {f"api_versio{number}": "x" for number in range(30)}
    spec = {"provider": "azure-openai", "base_url": "https://r.svc", "options": options}
    _, violations = read_manifests([document("Upstream", "a", spec)])
    assert sum('did you mean "api_version"?' in violation.description for violation in violations) == MAX_GUESSES


def test_unknown_parts_of_a_document_and_of_its_metadata_are_bounded_too() -> None:
    many = {f"k{number}": 1 for number in range(1000)}
    given = document("Team", "a", {}) | many
    given["metadata"] |= many
    assert len(read_manifests([given])[1]) == 2 * (MAX_LISTED + 1)
