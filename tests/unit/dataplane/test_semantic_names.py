"""Names of the GenAI conventions are spelt in one place, so that one change follows the conventions."""

from pathlib import Path

SOURCE = Path(__file__).parents[3]
PACKAGES = ("dataplane", "controlplane", "tollway", "tollctl")


def test_only_one_module_spells_genai_names() -> None:
    modules = [path for package in PACKAGES for path in (SOURCE / package).rglob("*.py")]
    spelling = [str(path.relative_to(SOURCE)) for path in modules if '"gen_ai.' in path.read_text()]
    assert spelling == ["dataplane/tracing.py"]
