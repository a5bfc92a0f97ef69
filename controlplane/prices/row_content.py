"""Rows of price books as JSON values, which is how they are stored."""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from tollway.config.v1.resources_pb2 import BookPrice


def row_to_content(row: BookPrice) -> dict[str, Any]:
    """`row` by the mapping of Protocol Buffers to JSON, with the fields' own names."""
    return json_format.MessageToDict(row, preserving_proto_field_name=True)


def content_to_row(content: Mapping[str, Any]) -> BookPrice:
    """The row that `row_to_content` made `content` of, in this or in another release; what this one lacks is left out.

    A book has thousands of rows: those that hold what this release knows take a sixth of the general way's time.
    """
    try:
        price = content["price"]
        rates = [_with_numbers(rate, "nano_usd_per_million", "above_input_tokens") for rate in price["rates"]]
        return BookPrice(**{**content, "price": {**_with_numbers(price, "effective_from_ms"), "rates": rates}})
    except (KeyError, TypeError, ValueError):
        return json_format.ParseDict(dict(content), BookPrice(), ignore_unknown_fields=True)


def _with_numbers(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """`fields` with those of `names`, which JSON has as text since they may be of 64 bits, as numbers."""
    return {**fields, **{name: int(fields[name]) for name in names if name in fields}}
