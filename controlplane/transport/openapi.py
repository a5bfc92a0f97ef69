"""The OpenAPI 3.1 document of the admin API, from the service descriptors and the comments in the schemas. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from controlplane.transport.decode import query_fields
from controlplane.transport.encode import is_input_only
from controlplane.transport.methods import AdminMethod, HttpRule
from tollway.resources.messages import enum_words, is_output_only

Json = dict[str, Any]
_ERROR_REF = "#/components/responses/Error"
_EMPTY = "google.protobuf.Empty"
_HTTP_BODY = "google.api.HttpBody"
_WELL_KNOWN: Mapping[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "examples": ["60s"]},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["display_name,labels"]},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array", "items": {"type": "string"}},
    "google.protobuf.Value": {},
    _EMPTY: {"type": "object"},
}
_SCALARS: Mapping[int, Json] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
}
_ERROR_SCHEMA: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "details"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {"type": "string", "description": "The name of the gRPC code.", "examples": ["NOT_FOUND"]},
                "message": {"type": "string", "description": "What is wrong and what to do."},
                "details": {
                    "type": "array",
                    "description": "google.rpc.ErrorInfo, and BadRequest or ResourceInfo where they apply.",
                    "items": {
                        "type": "object",
                        "required": ["@type"],
                        "properties": {"@type": {"type": "string"}},
                    },
                },
            },
        }
    },
}


def openapi_document(methods: Iterable[AdminMethod], comments: Mapping[str, str]) -> bytes:
    """The document as JSON; `comments` are by full name, as in controlplane.transport.comments."""
    return orjson.dumps(_Writer(comments).document(list(methods)), option=orjson.OPT_INDENT_2)


class _Writer:
    """Collects the schemas of the messages that the paths mention."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._schemas: Json = {"Error": _ERROR_SCHEMA}

    def document(self, methods: list[AdminMethod]) -> Json:
        paths: dict[str, Json] = {}
        for method in methods:
            for number, rule in enumerate(method.rules):
                operation = self._operation(method, rule, f"{method.short_name}{number or ''}")
                paths.setdefault(rule.template.documented_path(), {})[rule.verb.lower()] = operation
        services = {method.service: _tag(method.service) for method in methods}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Tollway admin API",
                "version": "v1",
                "description": "The same methods as the gRPC package tollway.admin.v1. Names are accepted in camelCase "
                "too, and enums as their full names.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "security": [{"adminToken": []}],
            "tags": [{"name": tag, "description": self._comments.get(name, "")} for name, tag in services.items()],
            "paths": dict(sorted(paths.items())),
            "components": {
                "securitySchemes": {"adminToken": {"type": "http", "scheme": "bearer"}},
                "responses": {
                    "Error": {
                        "description": "The call failed and changed nothing.",
                        "content": _json_content({"$ref": "#/components/schemas/Error"}),
                    }
                },
                "schemas": dict(sorted(self._schemas.items())),
            },
        }

    def _operation(self, method: AdminMethod, rule: HttpRule, operation_id: str) -> Json:
        comment = self._comments.get(method.name.replace("/", "."), "")
        operation: Json = {
            "operationId": operation_id,
            "tags": [_tag(method.service)],
            "summary": comment,
            "parameters": [*self._path_parameters(rule), *self._query_parameters(method, rule)],
            "responses": {
                "200": {"description": "The method's answer.", "content": self._answer(method.descriptor.output_type)},
                "default": {"$ref": _ERROR_REF},
            },
        }
        if rule.body:
            operation["requestBody"] = self._request_body(method, rule)
        return operation

    def _answer(self, message: Descriptor | None) -> Json:
        if message is not None and message.full_name == _HTTP_BODY:
            return {"*/*": {"schema": {"type": "string"}}}
        return _json_content(self._message_schema(message))

    def _path_parameters(self, rule: HttpRule) -> list[Json]:
        names = [name for variable in rule.template.variables for name in variable.id_names()]
        schema = {"type": "string"}
        return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]

    def _query_parameters(self, method: AdminMethod, rule: HttpRule) -> list[Json]:
        if rule.body == "*":
            return []
        fields = query_fields(method.descriptor.input_type, rule)
        return [self._query_parameter(field) for field in fields]

    def _query_parameter(self, field: FieldDescriptor) -> Json:
        schema = self._value_schema(field)
        parameter: Json = {"name": field.name, "in": "query", "description": self._comment(field), "schema": schema}
        if field.is_repeated:
            parameter |= {"schema": {"type": "array", "items": schema}, "style": "form", "explode": False}
        if _has_behavior(field, field_behavior_pb2.REQUIRED):
            parameter["required"] = True
        return parameter

    def _request_body(self, method: AdminMethod, rule: HttpRule) -> Json:
        request = method.descriptor.input_type
        if rule.body == "*":
            in_path = {variable.field for variable in rule.template.variables}
            schema = self._object_schema(request, in_path)
            name = request.name
        else:
            resource = request.fields_by_name[rule.body].message_type
            assert resource is not None
            schema = self._object_schema(resource, set())
            name = resource.name
        is_required = "required" in schema or rule.body != "*"
        if rule.verb == "PATCH":
            # What a change leaves out stays as it is.
            schema.pop("required", None)
            name = f"{name}Change"
        self._schemas[name] = schema
        return {"required": is_required, "content": _json_content({"$ref": f"#/components/schemas/{name}"})}

    def _message_schema(self, message: Descriptor | None) -> Json:
        assert message is not None
        if message.full_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[message.full_name])
        if message.name not in self._schemas:
            self._schemas[message.name] = {}
            self._schemas[message.name] = self._object_schema(message, set())
        return {"$ref": f"#/components/schemas/{message.name}"}

    def _object_schema(self, message: Descriptor, left_out: set[str]) -> Json:
        fields = [field for field in message.fields if field.name not in left_out]
        schema: Json = {"type": "object", "properties": {field.name: self._property(field) for field in fields}}
        if message.full_name in self._comments:
            schema["description"] = self._comments[message.full_name]
        required = [field.name for field in fields if _has_behavior(field, field_behavior_pb2.REQUIRED)]
        return schema | ({"required": required} if required else {})

    def _property(self, field: FieldDescriptor) -> Json:
        schema = self._field_schema(field)
        comment = self._comment(field)
        if comment:
            schema["description"] = comment
        if is_output_only(field):
            schema["readOnly"] = True
        if is_input_only(field):
            schema["writeOnly"] = True
        return schema

    def _field_schema(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self._value_schema(value)}
        if field.is_repeated:
            return {"type": "array", "items": self._value_schema(field)}
        return self._value_schema(field)

    def _value_schema(self, field: FieldDescriptor) -> Json:
        if field.message_type is not None:
            return self._message_schema(field.message_type)
        if field.enum_type is not None:
            return {"type": "string", "enum": enum_words(field.enum_type)}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return dict(_SCALARS[field.cpp_type])

    def _comment(self, field: FieldDescriptor) -> str:
        owner = field.containing_type
        return self._comments.get(f"{owner.full_name}.{field.name}", "") if owner is not None else ""


def _has_behavior(field: FieldDescriptor, behavior: int) -> bool:
    return behavior in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _json_content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _tag(service: str) -> str:
    return service.rpartition(".")[2]
