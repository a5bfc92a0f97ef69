"""Log probabilities of tokens in OpenAI's shape."""

from dataplane.call import JsonObject
from dataplane.dialects.gemini.fields import number_at, object_at, objects_at, text_at


def render_logprobs(candidate: JsonObject) -> JsonObject | None:
    """The logprobs of a choice from a candidate's logprobsResult; None where it has none."""
    result = object_at(candidate, "logprobsResult")
    chosen, tops = objects_at(result, "chosenCandidates"), objects_at(result, "topCandidates")
    if not chosen:
        return None
    rows = [objects_at(top, "candidates") for top in tops] + [[]] * len(chosen)
    content = [
        _token(token) | {"top_logprobs": [_token(other) for other in row]}
        for token, row in zip(chosen, rows, strict=False)
    ]
    return {"content": content, "refusal": None}


def _token(candidate: JsonObject) -> JsonObject:
    token = text_at(candidate, "token")
    return {
        "token": token,
        "logprob": number_at(candidate, "logProbability") or 0.0,
        "bytes": list(token.encode()),
    }
