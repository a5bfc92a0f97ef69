"""The chart rendered by the genuine Helm engine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

PROJECT = Path(__file__).resolve().parents[3]
CHART = PROJECT / "deploy" / "helm" / "tollway"
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.27", "1.37"

Object = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod template: `owner` is KIND/NAME of what makes it."""

    owner: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Object

    @property
    def container(self) -> Object:
        """Its only container."""
        (container,) = self.spec["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def env(self) -> dict[str, Object]:
        """Its environment entries by name."""
        return {entry["name"]: entry for entry in self.container.get("env", [])}


@dataclass(frozen=True, slots=True)
class Release:
    """What an installation would send to the cluster, and the notes that it prints."""

    objects: tuple[Object, ...]
    notes: str

    def of_kind(self, kind: str) -> tuple[Object, ...]:
        return tuple(each for each in self.objects if each["kind"] == kind)

    def one(self, kind: str, suffix: str) -> Object:
        """The only object of a kind whose name ends so."""
        (found,) = (each for each in self.of_kind(kind) if each["metadata"]["name"].endswith(suffix))
        return found

    def pod(self, suffix: str) -> Pod:
        """The only pod whose owner's name ends so."""
        (found,) = (pod for pod in self.pods() if pod.owner.endswith(suffix))
        return found

    def pods(self) -> Iterator[Pod]:
        for each in self.objects:
            if each["kind"] not in {"Deployment", "Job", "Pod"}:
                continue
            template = each if each["kind"] == "Pod" else each["spec"]["template"]
            metadata = template["metadata"]
            owner = f"{each['kind']}/{each['metadata']['name']}"
            yield Pod(owner, metadata["labels"], metadata.get("annotations", {}), template["spec"])


def render(values: Values, *, name: str = "tw", namespace: str = "gateway") -> Release:
    """Render the chart offline. Raises helm_python.HelmError on bad values and on a failed validation."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(dict(values), name=name, namespace=namespace, is_install=True, revision=1)
    objects: list[Object] = []
    for path, text in sorted(files.items()):
        if path.endswith(".yaml"):
            objects.extend(each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each is not None)
    return Release(tuple(objects), files["tollway/templates/NOTES.txt"])


def merge(*layers: Values) -> dict[str, Any]:
    """Values laid over one another as Helm's -f files are: maps merge, anything else is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            under = merged.get(key)
            merged[key] = merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged
