"""The OpenAPI document: valid, complete, and documented by the schemas' comments."""

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from controlplane.transport.comments import admin_comments
from controlplane.transport.methods import admin_methods
from controlplane.transport.openapi import openapi_document


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(openapi_document(admin_methods(), admin_comments()))


def test_it_is_valid(document: Any) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_it_has_every_method_once(document: Any) -> None:
    found = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert sorted(found) == sorted(method.short_name for method in admin_methods())


def test_every_operation_and_object_is_described(document: Any) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert [operation["operationId"] for operation in operations if not operation["summary"]] == []
    schemas = document["components"]["schemas"]
    assert [name for name, schema in schemas.items() if name != "Error" and not schema.get("description")] == []


def test_schemas_say_what_json_holds(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Route"]["properties"]["strategy"]["enum"] == ["weighted", "priority"]
    assert schemas["UsageRow"]["properties"]["requests"]["type"] == "integer"
    assert schemas["UsageRow"]["properties"]["states"]["additionalProperties"]["type"] == "integer"
    assert schemas["UpstreamSecret"]["properties"]["value"]["writeOnly"] is True
    assert schemas["Team"]["properties"]["uid"]["readOnly"] is True
    assert schemas["Upstream"]["required"] == ["provider"]
    assert "required" not in schemas["UpstreamChange"]
    assert schemas["Timeouts"]["properties"]["total"]["examples"] == ["60s"]


def test_path_and_query_parameters_are_told_apart(document: Any) -> None:
    create = document["paths"]["/v1/teams/{team}/keys"]["post"]
    assert [(p["name"], p["in"], p.get("required", False)) for p in create["parameters"]] == [
        ("team", "path", True),
        ("key_id", "query", True),
        ("validate_only", "query", False),
        ("request_id", "query", False),
    ]
    rotate = document["paths"]["/v1/teams/{team}/keys/{key}:rotate"]["post"]
    assert "name" not in document["components"]["schemas"]["RotateVirtualKeyRequest"]["properties"]
    assert rotate["requestBody"]["required"] is False


def test_errors_and_the_token_are_documented(document: Any) -> None:
    assert document["components"]["securitySchemes"]["adminToken"] == {"type": "http", "scheme": "bearer"}
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}
