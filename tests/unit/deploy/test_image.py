"""The image: what the Dockerfile and its locks promise."""

import ast
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

PROJECT = Path(__file__).resolve().parents[3]
DEPLOY = PROJECT / "deploy"
PACKAGES = {"controlplane", "dataplane", "migrations", "tollctl", "tollway"}
# Needed at run time by the OTLP exporter, and named by the tests' own receiver.
SHARED_WITH_TESTS = {canonicalize_name("opentelemetry-proto")}
# Extras that the image has too: one image serves upstreams in every cloud.
CLOUDS = ("aws", "azure", "google")
LOCKS = ("requirements.txt", "build-requirements.txt")


def read_lock(name: str) -> dict[NormalizedName, tuple[Requirement, tuple[str, ...]]]:
    """The pinned requirement and the hashes of each package of a lock."""
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lock = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        declared, *hashes = line.split("--hash=")
        requirement = Requirement(declared.strip())
        lock[canonicalize_name(requirement.name)] = (requirement, tuple(each.strip() for each in hashes))
    return lock


def read_declared() -> tuple[list[Requirement], list[Requirement]]:
    """What pyproject asks for at run time, in clouds too, and to build."""
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    of_clouds = [text for cloud in CLOUDS for text in project["optional-dependencies"][cloud]]
    return parse([*project["dependencies"], *of_clouds]), parse(pyproject["build-system"]["requires"])


def parse(texts: Iterable[str]) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def imported_modules(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module.partition(".")[0])
    return modules


def read_dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile's (instruction, arguments), continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]  # type: ignore[misc]


def final_stage() -> list[tuple[str, str]]:
    instructions = read_dockerfile()
    last = max(index for index, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    for requirement, hashes in read_lock(name).values():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize(("name", "declared"), list(zip(LOCKS, read_declared(), strict=True)))
def test_lock_satisfies_pyproject(name: str, declared: list[Requirement]) -> None:
    lock = read_lock(name)
    for requirement in declared:
        assert canonicalize_name(requirement.name) in lock, f"{requirement} is not in deploy/{name}: run `make lock`"
        pinned, _ = lock[canonicalize_name(requirement.name)]
        (pin,) = pinned.specifier
        assert requirement.specifier.contains(pin.version, prereleases=True), f"{name} has {pinned}, not {requirement}"


def test_every_import_is_of_a_declared_dependency() -> None:
    declared = {canonicalize_name(each.name) for each in read_declared()[0]}
    distributions = packages_distributions()
    undeclared = {
        f"{path.relative_to(PROJECT)} imports {module}"
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*.py")
        for module in imported_modules(path)
        if module in distributions.keys() - PACKAGES
        and not {canonicalize_name(each) for each in distributions[module]} & declared
    }
    assert undeclared == set()


def test_image_holds_the_versions_that_are_tested() -> None:
    lines = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = parse(line for line in lines if line and not line.startswith("#"))
    tested = {canonicalize_name(each.name): each.specifier for each in constraints}
    locked = {name: pinned.specifier for name, (pinned, _) in read_lock("requirements.txt").items()}
    differing = {name for name in locked.keys() & tested.keys() if locked[name] != tested[name]}
    assert not differing, "run `make lock`"


def test_image_holds_no_development_tool() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    optional = {canonicalize_name(each.name) for extra in extras.values() for each in parse(extra)}
    optional -= {canonicalize_name(each.name) for cloud in CLOUDS for each in parse(extras[cloud])}
    assert optional & read_lock("requirements.txt").keys() <= SHARED_WITH_TESTS


@pytest.mark.parametrize("name", ["Dockerfile", *LOCKS])
def test_nothing_is_fetched_from_a_named_place(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|\b(curl|wget|git clone)\b", text)


def test_every_install_is_hash_checked_and_offline_of_source_builds() -> None:
    installs = [
        command
        for name, arguments in read_dockerfile()
        if name == "RUN"
        for command in arguments.split("&&")
        if re.search(r"\bpip\b.*\b(install|wheel)\b", command)
    ]
    assert len(installs) == 4
    for command in installs:
        assert "--no-index" in command or {"--require-hashes", "--only-binary=:all:"} <= set(command.split()), command


def test_final_stage_runs_as_a_numeric_unprivileged_user() -> None:
    instructions = final_stage()
    users = [arguments for name, arguments in instructions if name == "USER"]
    assert users == ["65532:65532"]
    after = [name for name, _ in instructions[[name for name, _ in instructions].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_final_stage_holds_nothing_but_the_installed_package() -> None:
    instructions = final_stage()
    assert [arguments for name, arguments in instructions if name in {"COPY", "ADD"}] == [
        "--from=build /opt/tollway /opt/tollway"
    ]
    runs = " ".join(arguments for name, arguments in instructions if name == "RUN")
    assert not re.search(r"apt|pip install|gcc|build-essential", runs)


def test_stages_share_one_base() -> None:
    bases = [arguments.split()[0] for name, arguments in read_dockerfile() if name == "FROM"]
    assert bases == ["python:3.12-slim-bookworm"] * 2


def test_build_context_holds_what_is_copied_and_no_more() -> None:
    rules = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in rules if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        source
        for name, arguments in read_dockerfile()
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert allowed == copied


def test_every_package_of_the_wheel_is_copied() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    metadata = project["project"]
    needed = {*wheel["packages"], *wheel["force-include"], metadata["readme"], *metadata["license-files"]}
    copied = " ".join(arguments for name, arguments in read_dockerfile() if name == "COPY").split()
    assert needed <= set(copied)


def test_chart_and_package_have_one_version() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    chart = (DEPLOY / "helm" / "tollway" / "Chart.yaml").read_text(encoding="utf-8")
    assert f'appVersion: "{version}"' in chart
