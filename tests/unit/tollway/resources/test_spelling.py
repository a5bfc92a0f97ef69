"""Guesses at what was meant: close ones are told, others are not made."""

import pytest

from tollway.resources.providers import PROVIDERS, unknown_provider
from tollway.resources.spelling import did_you_mean, nearest

OPTIONS = ("api_version", "client_id", "role_arn", "role_session_name", "tenant_id")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("apiVersion", "api_version"),
        ("api-version", "api_version"),
        ("API_VERSION", "api_version"),
        ("tenantid", "tenant_id"),
        ("tenant", "tenant_id"),
        ("api_versoin", "api_version"),
        ("role", "role_arn"),
        ("cl", ""),
        ("colour", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_what_was_meant(name: str, meant: str) -> None:
    assert nearest(name, OPTIONS) == meant
    assert did_you_mean(name, OPTIONS) == (f'did you mean "{meant}"? ' if meant else "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("openia", '"openai"'),
        ("vertex", '"vertex-ai"'),
        ("gemni", ""),
        ("azure", '"azure-openai"'),
        ("grok", '"xai"'),
        ("GEMINI", '"google-ai-studio"'),
        ("claude", '"anthropic"'),
        ("AWS", '"bedrock"'),
        ("google", '"google-ai-studio" or "vertex-ai"'),
    ],
)
def test_providers_that_are_none_are_told_with_a_guess_and_the_known_ones(name: str, meant: str) -> None:
    said = unknown_provider(name)
    assert said.startswith(f'"{name}" is not a provider')
    assert f"speaks; {f'did you mean {meant}? ' if meant else ''}known are" in said
    assert all(known in said for known in PROVIDERS)
