from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dataplane.call import Deadlines, Plan
from dataplane.errors import GatewayError
from dataplane.limits.admission import Admits
from dataplane.limits.counts import AdmissionCounts
from dataplane.limits.desk import LeaseDesk
from dataplane.rules import Admission
from dataplane.snapshot import Target
from dataplane.telemetry import Telemetry
from tests.fakes.outcomes import SNAPSHOT, UPSTREAM, make_call, make_outcome
from tests.fakes.rules import USD, budget_rule, index_of


@pytest.mark.parametrize(
    ("admission", "fields", "refused"),
    [
        (Admission.STRICT, {}, ("unbounded_request", "model")),
        (Admission.STRICT, {"plugins": [{"id": "web"}]}, ("unbounded_request", "plugins")),
        (Admission.EXPECTED, {"plugins": [{"id": "web"}]}, ("price_unknown", "model")),
    ],
)
async def test_a_strict_budget_refuses_a_call_that_may_go_to_a_model_that_researches_by_itself(
    admission: Admission, fields: dict[str, Any], refused: tuple[str, str]
) -> None:
    limits = index_of(budget_rule("b", USD, admission=admission))
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 7, **fields}
    call = make_call(body=body, snapshot=replace(SNAPSHOT, limits=limits))
    targets = (Target(UPSTREAM, "gpt-x"), Target(UPSTREAM, "o3-deep-research"))
    admits = Admits(LeaseDesk(), AdmissionCounts(Telemetry(CollectorRegistry())))
    with pytest.raises(GatewayError) as raised:
        await admits.admit(make_outcome(call=call), Plan("r", targets, Deadlines()))
    assert (raised.value.error_code, raised.value.param) == refused
