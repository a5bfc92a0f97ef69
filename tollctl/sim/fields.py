"""Reads a JSON object's fields, refusing wrong ones in OpenAI's words."""

from collections.abc import Sequence
from typing import Any

from tollctl.sim.errors import SimError, reject_field


class FieldReader:
    """Each method answers None for a field that is absent or null, and raises SimError 400 for a wrong one."""

    def __init__(self, body: dict[str, Any], path: str = "") -> None:
        self.body = body
        self._path = path

    @classmethod
    def of(cls, value: Any, path: str) -> "FieldReader":
        """Raises SimError 400 unless value is an object."""
        if not isinstance(value, dict):
            raise reject_type(path, "an object", value)
        return cls(value, path)

    def name(self, field: str) -> str:
        """The field's path from the body's root."""
        return f"{self._path}.{field}" if self._path else field

    def wrong_type(self, field: str, expected: str) -> SimError:
        return reject_type(self.name(field), expected, self.body.get(field))

    def required(self, field: str) -> Any:
        if self.body.get(field) is None:
            name = self.name(field)
            raise reject_field(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
        return self.body[field]

    def required_text(self, field: str) -> str:
        self.required(field)
        return self.text(field) or ""

    def text(self, field: str) -> str | None:
        value = self.body.get(field)
        if value is not None and not isinstance(value, str):
            raise self.wrong_type(field, "a string")
        return value

    def boolean(self, field: str) -> bool | None:
        value = self.body.get(field)
        if value is not None and not isinstance(value, bool):
            raise self.wrong_type(field, "a boolean")
        return value

    def array(self, field: str) -> list[Any] | None:
        value = self.body.get(field)
        if value is not None and not isinstance(value, list):
            raise self.wrong_type(field, "an array")
        return value

    def mapping(self, field: str) -> dict[str, Any] | None:
        value = self.body.get(field)
        if value is not None and not isinstance(value, dict):
            raise self.wrong_type(field, "an object")
        return value

    def integer(self, field: str, lowest: int, highest: int | None = None) -> int | None:
        value = self.body.get(field)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong_type(field, "an integer")
        self._check_range(field, value, lowest, highest, "integer")
        return value

    def number(self, field: str, lowest: float, highest: float) -> float | None:
        value = self.body.get(field)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong_type(field, "a decimal")
        self._check_range(field, value, lowest, highest, "decimal")
        return value

    def choice(self, field: str, allowed: Sequence[str]) -> str | None:
        value = self.text(field)
        if value is not None and value not in allowed:
            wanted = " and ".join(filter(None, [", ".join(f"'{one}'" for one in allowed[:-1]), f"'{allowed[-1]}'"]))
            name = self.name(field)
            raise reject_field(f"Invalid value: '{value[:64]}'. Supported values are: {wanted}.", name, "invalid_value")
        return value

    def _check_range(self, field: str, value: float, lowest: float, highest: float | None, kind: str) -> None:
        if value < lowest:
            side, bound, code = "below minimum", f">= {lowest}", f"{kind}_below_min_value"
        elif highest is not None and value > highest:
            side, bound, code = "above maximum", f"<= {highest}", f"{kind}_above_max_value"
        else:
            return
        name = self.name(field)
        message = f"Invalid '{name}': {kind} {side} value. Expected a value {bound}, but got {value} instead."
        raise reject_field(message, name, code)


def reject_type(name: str, expected: str, value: Any) -> SimError:
    return reject_field(
        f"Invalid type for '{name}': expected {expected}, but got {_name_type(value)} instead.", name, "invalid_type"
    )


def _name_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"
