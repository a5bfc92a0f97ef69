"""Path templates of google.api.http."""

import re

import pytest

from controlplane.transport.paths import parse_template


def test_a_template_has_literals_and_variables() -> None:
    template = parse_template("/v1/{name=teams/*/keys/*}:rotate")
    [variable] = template.variables
    assert (variable.field, variable.pattern, variable.id_names()) == ("name", "teams/*/keys/*", ["team", "key"])
    assert template.route_path() == "/v1/{v0:teams/[^/:]+/keys/[^/:]+}:rotate"
    assert template.documented_path() == "/v1/teams/{team}/keys/{key}:rotate"


@pytest.mark.parametrize(
    ("text", "documented"),
    [
        ("/v1/teams", "/v1/teams"),
        ("/v1/{team.name=teams/*}", "/v1/teams/{team}"),
        ("/v1/{parent=teams/*}/keys", "/v1/teams/{team}/keys"),
        ("/v1/{name=usageRecords/*}", "/v1/usageRecords/{usage_record}"),
        ("/v1/things/{thing}", "/v1/things/{thing}"),
    ],
)
def test_documented_paths(text: str, documented: str) -> None:
    assert parse_template(text).documented_path() == documented


@pytest.mark.parametrize(
    ("value", "is_match"),
    [
        ("teams/a/keys/b", True),
        ("teams/a.b-c_1/keys/b", True),
        ("teams/a", False),
        ("teams/a/keys/b/c", False),
        ("teams//keys/b", False),
        ("teams/a/keys/b:rotate", False),
        ("teams/a/keys/", False),
    ],
)
def test_values_match_segment_by_segment(value: str, is_match: bool) -> None:
    [variable] = parse_template("/v1/{name=teams/*/keys/*}").variables
    assert variable.is_match(value) is is_match
    assert (re.fullmatch(variable.expression(), value) is not None) is is_match


@pytest.mark.parametrize("text", ["v1/teams", "/v1/{name=**}", "/v1/{name", "/v1/*/x", "/v1/{Name=a/*}", "/v1/{a={b}}"])
def test_templates_that_the_api_does_not_use_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="path template"):
        parse_template(text)
