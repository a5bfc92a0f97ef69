"""Wire formats of providers, to and from the hub, which is OpenAI's."""
