"""A price book of a few providers, made as the built-in one is: all of the catalog takes most of a short test."""

from functools import partial

from tollway.resources.book import build_price_book
from tollway.resources.providers import PROVIDERS

build_book = partial(build_price_book, tuple(PROVIDERS[name] for name in ("openai", "anthropic", "sim")))
BOOK = build_book().name
