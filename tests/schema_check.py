"""What `make check` says about the schemas: lint, breaking changes, and generated code that is not from them.

python -m tests.schema_check                    one line per finding, exit 1 on any
python -m tests.schema_check --generate         writes what is generated from proto/
python -m tests.schema_check --write-baseline   accepts the schemas as what later ones must not break
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import google.api

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
BUF_SETTINGS = PROTO / "buf.yaml"
BASELINE = PROTO / "baseline.binpb"
ADMIN_PACKAGE = Path("tollway/admin/v1")
# The admin schema with its comments: the control plane's OpenAPI document is written from it.
ADMIN_DESCRIPTORS = ADMIN_PACKAGE / "schema.binpb"
GENERATED_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", "schema.binpb")
_BIN = Path(sys.executable).parent
_TIMEOUT_S = 120


class SchemaError(Exception):
    """A tool could not do its work; the text is what it said."""


def proto_files() -> list[Path]:
    return sorted(PROTO.rglob("*.proto"))


def generate(into: Path) -> None:
    """Writes everything that is generated from proto/ below `into`; SchemaError when protoc refuses the schemas."""
    plugins = [f"--plugin={name}={_BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    outputs = [f"--{kind}_out={into}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    _run_protoc([*plugins, *outputs], proto_files())
    descriptors = into / ADMIN_DESCRIPTORS
    admin_files = sorted((PROTO / ADMIN_PACKAGE).glob("*.proto"))
    _run_protoc(["--include_source_info", f"--descriptor_set_out={descriptors}"], admin_files)


def write_descriptors(path: Path, *, with_comments: bool) -> None:
    """Writes all schemas and what they import as one descriptor set."""
    comments = ["--include_source_info"] if with_comments else []
    _run_protoc(["--include_imports", *comments, f"--descriptor_set_out={path}"], proto_files())


def findings() -> Iterator[str]:
    """Everything that is wrong, a line each."""
    with tempfile.TemporaryDirectory(prefix="tollway-schema-") as folder:
        descriptors = Path(folder) / "schemas.binpb"
        write_descriptors(descriptors, with_comments=True)
        yield from lint(descriptors)
        yield from breaking_changes(descriptors, BASELINE)
        fresh = Path(folder) / "generated"
        fresh.mkdir()
        generate(fresh)
        yield from drift(fresh, ROOT)


def lint(descriptors: Path) -> Iterator[str]:
    yield from _run_buf(["lint", str(descriptors)])


def breaking_changes(descriptors: Path, baseline: Path) -> Iterator[str]:
    """What would break users of `baseline` on the wire or in JSON."""
    if not baseline.is_file():
        yield f"{baseline.name} is missing: run make proto-baseline"
        return
    yield from _run_buf(["breaking", str(descriptors), "--against", str(baseline)])


def drift(fresh: Path, committed: Path) -> Iterator[str]:
    """Files below `committed`/tollway that are not byte for byte those below `fresh`/tollway."""
    wanted = generated_files(fresh)
    for name in sorted(wanted | generated_files(committed)):
        ours = committed / name
        if name not in wanted:
            yield f"{name}: generated from no schema; delete it"
        elif not ours.is_file():
            yield f"{name}: is missing; run make proto"
        elif ours.read_bytes() != (fresh / name).read_bytes():
            yield f"{name}: is not what the schemas generate; run make proto"


def generated_files(root: Path) -> set[Path]:
    return {path.relative_to(root) for pattern in GENERATED_PATTERNS for path in (root / "tollway").rglob(pattern)}


def _run_protoc(arguments: Sequence[str], files: Sequence[Path]) -> None:
    google_protos = Path(next(iter(google.api.__path__))).parent.parent
    names = [str(path.relative_to(PROTO)) for path in files]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{google_protos}", *arguments, *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise SchemaError(done.stderr.strip())


def _run_buf(arguments: Sequence[str]) -> list[str]:
    command = [str(_BIN / "buf"), *arguments, "--config", str(BUF_SETTINGS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0 and not lines:
        raise SchemaError(done.stderr.strip())
    return lines


def main(arguments: Sequence[str]) -> int:
    try:
        match list(arguments):
            case []:
                found = list(findings())
            case ["--generate"]:
                generate(ROOT)
                found = []
            case ["--write-baseline"]:
                write_descriptors(BASELINE, with_comments=False)
                found = []
            case _:
                found = [__doc__ or ""]
    except SchemaError as error:
        found = [str(error)]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
