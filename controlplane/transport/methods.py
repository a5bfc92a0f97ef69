"""The admin methods as their service descriptors declare them, and the handlers bound to them."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from controlplane.authz import Handler, Handlers, StreamHandler
from controlplane.transport.paths import PathTemplate, parse_template
from tollway.admin import v1 as admin_v1


class BindingError(Exception):
    """The handlers do not fit the schema; the text lists every difference."""


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One REST form of a method; `body` is "" (none), "*" (the whole request) or the request's field that it holds."""

    verb: str
    template: PathTemplate
    body: str


@dataclass(frozen=True, slots=True)
class AdminMethod:
    """One method; `name` is e.g. "tollway.admin.v1.TeamService/CreateTeam"."""

    name: str
    descriptor: MethodDescriptor
    request_class: type[Message]
    rules: tuple[HttpRule, ...]

    @property
    def service(self) -> str:
        return self.name.partition("/")[0]

    @property
    def short_name(self) -> str:
        return self.name.partition("/")[2]


@dataclass(frozen=True, slots=True)
class BoundMethod:
    """A method and what serves it."""

    method: AdminMethod
    handler: Handler | StreamHandler

    @property
    def is_stream(self) -> bool:
        """Whether the response is a stream of messages."""
        return self.method.descriptor.server_streaming


def admin_methods() -> list[AdminMethod]:
    """Every method of the package tollway.admin.v1; BindingError when one has no usable REST form."""
    return [_admin_method(method) for file in _schema_files() for method in _methods(file)]


def bind(methods: Iterable[AdminMethod], handlers: Handlers) -> list[BoundMethod]:
    """Each method with its handler; BindingError when one has none, or a handler has no method."""
    methods = list(methods)
    names = {method.name for method in methods}
    problems = [f"{name} has no handler" for name in sorted(names - handlers.keys())]
    problems += [f"{name} is no method of the admin API" for name in sorted(handlers.keys() - names)]
    if problems:
        raise BindingError("; ".join(problems))
    return [BoundMethod(method, handlers[method.name]) for method in methods]


def _schema_files() -> Iterator[FileDescriptor]:
    for module in pkgutil.iter_modules(admin_v1.__path__):
        if module.name.endswith("_pb2"):
            yield importlib.import_module(f"{admin_v1.__name__}.{module.name}").DESCRIPTOR


def _methods(file: FileDescriptor) -> Iterator[MethodDescriptor]:
    for service in file.services_by_name.values():
        yield from service.methods


def _admin_method(descriptor: MethodDescriptor) -> AdminMethod:
    service = descriptor.containing_service
    assert service is not None
    name = f"{service.full_name}/{descriptor.name}"
    rule = descriptor.GetOptions().Extensions[annotations_pb2.http]
    rules = tuple(_http_rule(name, each) for each in (rule, *rule.additional_bindings))
    return AdminMethod(name, descriptor, GetMessageClass(descriptor.input_type), rules)


def _http_rule(name: str, rule: http_pb2.HttpRule) -> HttpRule:
    verb = rule.WhichOneof("pattern")
    if verb is None or verb == "custom":
        raise BindingError(f"{name} has no google.api.http rule with a verb")
    try:
        return HttpRule(verb.upper(), parse_template(getattr(rule, verb)), rule.body)
    except ValueError as error:
        raise BindingError(f"{name}: {error}") from error
