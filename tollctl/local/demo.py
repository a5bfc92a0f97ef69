"""The demo: a team, a key and the simulated provider, and providers whose keys the environment holds."""

from collections.abc import Mapping
from typing import Any

from tollctl.manifests import Document

DEMO_KEY_VARIABLE = "TOLLWAY_DEMO_KEY"
PROVIDER_KEY_VARIABLES: Mapping[str, str] = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Of providers that are there too where the environment holds a key of theirs."""
TRUTH_LOG_VARIABLE = "TOLLWAY_SIM_TRUTH_LOG"
"""The file that the simulated provider writes what it served to; unset for none."""
DEMO_MODEL = "sim/echo"
_SIM_MODELS = (
    *("echo", "lorem-20", "slow-500", "stream-50", "flaky-20", "status-429", "cutoff-5", "tools", "json", "embed"),
    *("lorem-*", "slow-*", "stream-*", "flaky-*", "status-*", "cutoff-*"),
    *("nousage-*", "malformed-*", "drip-*", "linger-*", "limited-*"),
)


def make_demo_documents(sim_url: str, environ: Mapping[str, str]) -> list[Document]:
    """The manifests to apply; the demo key's secret is read from TOLLWAY_DEMO_KEY by the control plane."""
    documents = [
        _make_document("Team", {"name": "demo"}, {"display_name": "Demo"}),
        _make_document("VirtualKey", {"name": "demo", "team": "demo"}, {"secret": {"ref": f"env:{DEMO_KEY_VARIABLE}"}}),
        _make_document(
            "Upstream", {"name": "sim"}, {"provider": "sim", "base_url": f"{sim_url}/v1", "models": list(_SIM_MODELS)}
        ),
    ]
    for provider in keyed_providers(environ):
        spec = {"provider": provider, "secret": {"ref": f"env:{PROVIDER_KEY_VARIABLES[provider]}"}}
        documents.append(_make_document("Upstream", {"name": provider}, spec))
    return documents


def keyed_providers(environ: Mapping[str, str]) -> list[str]:
    """Providers that the environment holds a key of."""
    return [provider for provider, variable in PROVIDER_KEY_VARIABLES.items() if environ.get(variable)]


def _make_document(kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Document:
    content = {"apiVersion": "tollway/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return Document("the demo", content)
