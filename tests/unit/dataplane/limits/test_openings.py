from typing import Any

import pytest

from dataplane.limits.estimate import size_of
from dataplane.limits.openings import open_member, providers_tool
from tests.fakes.outcomes import make_call


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        *(({name: {}}, name) for name in ("compound_custom", "provider", "web_search_options", "search_parameters")),
        *(({name: "x"}, name) for name in ("safety_model", "route", "preset", "container")),
        *(({name: ["x"]}, name) for name in ("models", "plugins", "data_sources", "fallbacks", "mcp_servers")),
        ({"deferred": True}, "deferred"),
        ({"n_predict": 9}, "n_predict"),
        ({"models": None, "plugins": [], "deferred": False, "provider": {"sort": "price"}}, "provider"),
        ({"models": None, "plugins": [], "deferred": False, "route": ""}, ""),
        ({"additionalModelRequestFields": {"thinking": {"type": "enabled"}, "top_k": 1, "tools": []}}, ""),
        *(
            ({fields: {"top_k": 1, name: [1]}}, f"{fields}.{name}")
            for fields in ("additionalModelRequestFields", "additional_model_request_fields")
            for name in ("fallbacks", "mcp_servers", "context_management", "tools", "container")
        ),
        ({"additionalModelRequestFields": "x", "temperature": 1}, ""),
    ],
)
def test_members_that_name_other_models_tools_or_prices_leave_the_cost_open(fields: dict[str, Any], named: str) -> None:
    assert open_member(fields) == named
    assert size_of(make_call(body={"messages": [], **fields})).unbounded == named


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        (None, ""),
        ([], ""),
        ([{"type": "function", "function": {"name": "f"}}, {"name": "f", "input_schema": {}}, {"toolSpec": {}}], ""),
        ([{"type": "custom", "custom": {"name": "f"}}, {"type": "bash_20250124", "name": "bash"}], ""),
        ([{"type": "function", "function": {"name": "f"}, "googleSearch": {}}], "tools"),
        ([{"search_of_next_year": {}}], "tools"),
        ({"googleSearch": {}}, "tools"),
        ([{"type": "browser_search"}], "browser_search"),
        ([{"type": ["function"], "name": "f"}], "tools"),
        ([{"type": "", "name": "f"}], "tools"),
    ],
)
def test_a_tool_that_is_not_the_clients_is_named(tools: Any, named: str) -> None:
    assert providers_tool(tools) == named
