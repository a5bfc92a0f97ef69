from dataclasses import replace

import pytest

from dataplane.limits.research import searches_of
from dataplane.snapshot import Target
from tests.fakes.outcomes import UPSTREAM


@pytest.mark.parametrize(
    ("provider", "model", "searches"),
    [
        ("perplexity", "sonar-deep-research", None),
        ("openrouter", "perplexity/sonar-deep-research", None),
        ("openai", "o3-deep-research", None),
        ("azure-openai", "O4-Mini-Deep-Research-2025-06-26", None),
        ("openai", "gpt-5-search-api", None),
        ("groq", "groq/compound", None),
        ("groq", "groq/compound-mini", None),
        ("groq", "compound-beta", None),
        ("openrouter", "openai/gpt-5:online", None),
        ("openrouter", "perplexity/sonar", None),
        ("openrouter", "openai/gpt-4o-search-preview", None),
        ("perplexity", "sonar", 1),
        ("perplexity", "sonar-reasoning-pro", 1),
        ("openai", "gpt-4o-search-preview", 1),
        ("openai", "gpt-4o-mini-search-preview-2025-03-11", 1),
        ("openai", "gpt-4o", 0),
        ("openai", "gpt-rosalind-research", 0),
        ("openrouter", "alibaba/tongyi-deepresearch-30b-a3b", 0),
        ("groq", "openai/gpt-oss-120b", 0),
    ],
)
def test_models_search_by_themselves_not_at_all_once_or_without_bound(
    provider: str, model: str, searches: int | None
) -> None:
    assert searches_of(Target(replace(UPSTREAM, provider=provider), model)) == searches
