"""GET /v1/models: what a key may use, and nothing else."""

from typing import Any

from dataplane.errors import ModelNotFound
from dataplane.snapshot import Snapshot, VirtualKey


def list_models(snapshot: Snapshot, key: VirtualKey) -> dict[str, Any]:
    """OpenAI's list of models."""
    return {"object": "list", "data": [_model(snapshot, name) for name in sorted(snapshot.models(key))]}


def get_model(snapshot: Snapshot, key: VirtualKey, name: str) -> dict[str, Any]:
    """OpenAI's model object. Raises ModelNotFound when `key` may not use it, or it is listed nowhere."""
    if name not in snapshot.models(key):
        raise ModelNotFound(
            f'The model "{name}" does not exist or is not for this key. See GET /v1/models.', param="model"
        )
    return _model(snapshot, name)


def _model(snapshot: Snapshot, name: str) -> dict[str, Any]:
    owner = "tollway" if name in snapshot.routes else name.partition("/")[0]
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
