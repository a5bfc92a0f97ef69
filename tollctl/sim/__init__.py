"""The simulated provider: a deterministic upstream that speaks OpenAI's format and counts what it served.

A token is a word: a run of characters without whitespace. Run it with `python -m tollctl.sim`.
"""
