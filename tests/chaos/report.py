"""Reports for people and for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.campaign import Report
from tests.chaos.checker import Verdict

_SHOWN_VIOLATIONS = 10


def render_text(report: Report) -> str:
    """One line for each invariant, and what broke those that do not hold."""
    lines = [f"{report.plan.name}: {report.plan.title} (seed {report.seed})"]
    lines.append(f"  calls: {_pairs(report.endings)}; {_pairs(report.numbers)}")
    if report.memory_mib:
        grown = ", ".join(f"{name} {was} -> {now}" for name, (was, now) in report.memory_mib.items())
        lines.append(f"  memory MiB: {grown}")
    for verdict in report.verdicts:
        lines += _verdict_lines(verdict)
    return "\n".join(lines)


def render_json(reports: Sequence[Report]) -> dict[str, Any]:
    """The whole campaign."""
    return {
        "holds": all(report.holds for report in reports),
        "versions": dict(reports[0].versions) if reports else {},
        "runs": [_run(report) for report in reports],
    }


def _verdict_lines(verdict: Verdict) -> list[str]:
    word = "holds" if verdict.holds else f"VIOLATED {len(verdict.violations)} times"
    missing = f" (in part: {verdict.missing})" if verdict.missing else ""
    numbers = f" [{_pairs(verdict.numbers)}]" if verdict.numbers else ""
    lines = [f"  {verdict.invariant:3} {word}: {verdict.promise}{numbers}{missing}"]
    lines += [f"      {violation}" for violation in verdict.violations[:_SHOWN_VIOLATIONS]]
    if len(verdict.violations) > _SHOWN_VIOLATIONS:
        lines.append(f"      and {len(verdict.violations) - _SHOWN_VIOLATIONS} more")
    return lines


def _pairs(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in numbers.items())


def _run(report: Report) -> dict[str, Any]:
    return {
        "scenario": report.plan.name,
        "title": report.plan.title,
        "seed": report.seed,
        "holds": report.holds,
        "calls": dict(report.endings),
        "numbers": dict(report.numbers),
        "memory_mib": {name: list(pair) for name, pair in report.memory_mib.items()},
        "verdicts": [
            {
                "invariant": verdict.invariant,
                "promise": verdict.promise,
                "holds": verdict.holds,
                "violations": list(verdict.violations),
                "numbers": dict(verdict.numbers),
                "missing": verdict.missing,
            }
            for verdict in report.verdicts
        ],
    }
