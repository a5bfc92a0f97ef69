"""What dimensions and conditions are in SQL, of tables that have their columns."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, FromClause, Text, and_, any_, func, literal, or_
from sqlalchemy.dialects.postgresql import ARRAY

from controlplane.ledger.reading.dimensions import NUMERIC_DIMENSIONS, column_of, metadata_key_of
from controlplane.ledger.reading.filters import Condition, is_bare
from tollway.kernel.usage import SettlementState

_STATES = {state.word: int(state) for state in SettlementState}


def dimension_column(table: FromClause, dimension: str, metadata: str) -> ColumnElement[str]:
    """The value of a dimension in each row, "" where there is none; `metadata` is the column that has metadata."""
    key = metadata_key_of(dimension)
    return func.coalesce(table.c[metadata][key].astext, "") if key else table.c[column_of(dimension)]


def all_hold(table: FromClause, conditions: Iterable[Condition], metadata: str) -> list[ColumnElement[bool]]:
    return [holds(dimension_column(table, each.dimension, metadata), each) for each in conditions]


def holds(column: ColumnElement[str], condition: Condition) -> ColumnElement[bool]:
    """Whether the dimension in `column` is as `condition` says."""
    if condition.dimension in NUMERIC_DIMENSIONS:
        return _compares(column, condition)
    if condition.dimension == "state":
        found: ColumnElement[bool] = column.in_([_STATES[value] for value in condition.values])
    else:
        found = or_(*_equalities(column, condition))
    return ~found if condition.operator == "!=" else found


def owning_teams(conditions: Iterable[Condition]) -> list[str] | None:
    """The teams that full names of keys among `conditions` belong to; None when nothing is known of them."""
    for condition in conditions:
        is_chosen = condition.dimension == "key" and condition.operator != "!="
        if is_chosen and all(value.startswith("teams/") for value in condition.values):
            return sorted({value.partition("/keys/")[0] for value in condition.values})
    return None


def _equalities(column: ColumnElement[str], condition: Condition) -> list[ColumnElement[bool]]:
    bare = [value for value in condition.values if is_bare(condition, value)]
    whole = [value for value in condition.values if not is_bare(condition, value)]
    last_part = func.regexp_replace(column, "^.*/", "")
    # One parameter for all values: a statement takes no more than 32767.
    return [
        each == any_(literal(values, ARRAY(Text))) for each, values in ((column, whole), (last_part, bare)) if values
    ]


def _compares(column: ColumnElement[str], condition: Condition) -> ColumnElement[bool]:
    numbers = [int(value) for value in condition.values]
    match condition.operator:
        case "=" | "IN":
            return column.in_(numbers)
        case "!=":
            return column.not_in(numbers)
        case operator:
            return and_(column.op(operator, is_comparison=True)(numbers[0]))
