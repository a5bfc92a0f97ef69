"""What fields must satisfy that more than one kind of resource has."""

import re
from collections.abc import Iterable, Iterator, Mapping

from tollway.kernel.names import bare_id, is_resource_id
from tollway.resources.catalog.row import DOT_SEGMENTS
from tollway.resources.messages import AdminResource
from tollway.resources.violations import Violation

MAX_DISPLAY_NAME = 128
MAX_LABELS = 64
MAX_METADATA = 16
MAX_VALUE = 128
MAX_MODEL = 256
MAX_LIST = 256

METADATA_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


def validate_common(resource: AdminResource) -> Iterator[Violation]:
    """What is wrong with the fields that every kind has."""
    if not is_resource_id(bare_id(resource.name)):
        yield Violation("name", f'"{bare_id(resource.name)}" must match [a-z0-9][a-z0-9._-]{{0,62}}')
    if len(resource.display_name) > MAX_DISPLAY_NAME or CONTROL.search(resource.display_name):
        yield Violation("display_name", f"must be text of at most {MAX_DISPLAY_NAME} characters on one line")
    yield from validate_pairs("labels", resource.labels, _LABEL_KEY, MAX_LABELS)


def validate_pairs(path: str, pairs: Mapping[str, str], key: re.Pattern[str], most: int) -> Iterator[Violation]:
    """What is wrong with names, which must match `key`, and their values; at most `most` are allowed."""
    if len(pairs) > most:
        yield Violation(path, f"has {len(pairs)} pairs; at most {most} are allowed")
    for name, value in sorted(pairs.items()):
        if not key.fullmatch(name):
            yield Violation(f"{path}.{name}", f"the name must match {key.pattern}")
        if len(value) > MAX_VALUE or CONTROL.search(value):
            yield Violation(f"{path}.{name}", f"must be text of at most {MAX_VALUE} characters on one line")


def validate_models(path: str, models: Iterable[str]) -> Iterator[Violation]:
    """What is wrong with a list of models, alone and together."""
    seen: set[str] = set()
    for index, model in enumerate(models):
        yield from validate_model(f"{path}[{index}]", model)
        if model in seen:
            yield Violation(f"{path}[{index}]", f'"{model}" is listed twice')
        seen.add(model)
    if len(seen) > MAX_LIST:
        yield Violation(path, f"has {len(seen)} entries; at most {MAX_LIST} are allowed")


def validate_model(path: str, model: str) -> Iterator[Violation]:
    """What is wrong with `model`, a name or a pattern of some."""
    if not model:
        yield Violation(path, "is required")
    elif len(model) > MAX_MODEL or CONTROL.search(model) or any(character.isspace() for character in model):
        yield Violation(path, f"must be at most {MAX_MODEL} characters without whitespace")
    elif model in DOT_SEGMENTS:
        yield Violation(path, f'"{model}" cannot be called: it would change the address that it stands in')
