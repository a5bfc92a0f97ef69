"""`tollctl ledger`: whether the ledger is right, what it could not book, and making it whole."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tollctl.arguments import GLOBAL_OPTIONS, OutputOption, told_as_usage
from tollctl.commands.periods import close, periods
from tollctl.errors import CommandError
from tollctl.moments import parse_past, render_moment
from tollctl.render import Output, render_data, write_out
from tollctl.session import Session, session_of

if TYPE_CHECKING:
    from tollctl.client import AdminClient

app = typer.Typer(help="Check, mend, replay and close the ledger.", no_args_is_help=True, rich_markup_mode=None)
dlq = typer.Typer(help="Dead letters: what the ledger could not book.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(dlq, name="dlq")
app.command("periods", epilog=GLOBAL_OPTIONS)(periods)
app.command("close", epilog=GLOBAL_OPTIONS)(close)

_NAMES_AT_ONCE = 50
_WATCH_INTERVAL_S = 0.5
_ENDED = frozenset({"succeeded", "failed", "cancelled"})

LettersArgument = Annotated[
    list[str] | None, typer.Argument(help="Numbers of dead letters, as list shows.", metavar="ID")
]
AllOption = Annotated[bool, typer.Option("--all", help="All letters that are not set aside.")]
FromOption = Annotated[
    str | None, typer.Option("--from", help="The first UTC day; that of the ledger unless given.", metavar="DAY")
]
ToOption = Annotated[
    str | None, typer.Option("--to", help="The last UTC day; that of the ledger unless given.", metavar="DAY")
]
RepairOption = Annotated[bool, typer.Option("--repair", help="Make the sums of days that differ anew from entries.")]
SinceOption = Annotated[
    str, typer.Option(help="From when: the time that the restored database is from, or how long ago.", metavar="WHEN")
]
UntilOption = Annotated[str | None, typer.Option(help="Until when; now unless given.", metavar="WHEN")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Ask for it and do not watch.")]


@dlq.command("list", epilog=GLOBAL_OPTIONS)
def list_(
    context: typer.Context,
    discarded: Annotated[bool, typer.Option("--discarded", help="Also those that were set aside.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List dead letters, the oldest first."""
    session = session_of(context)
    page = session.admin().collect("deadLetters", "dead_letters", {"show_discarded": discarded})
    letters = page["dead_letters"]
    if output is not Output.TABLE:
        write_out(render_data({"dead_letters": letters}, output))
        return
    from tollctl.ledger import render_letters

    if letters:
        write_out(render_letters(letters))
    else:
        session.tell("no dead letters")


@dlq.command(epilog=GLOBAL_OPTIONS)
def show(
    context: typer.Context,
    letter: Annotated[str, typer.Argument(help="The number of a dead letter, as list shows.", metavar="ID")],
    output: OutputOption = Output.YAML,
) -> None:
    """Show all that can be read of a dead letter."""
    found = session_of(context).admin().read(_letter_name(letter))
    write_out(render_data(found, Output.YAML if output is Output.TABLE else output))


@dlq.command(epilog=GLOBAL_OPTIONS)
def replay(context: typer.Context, letters: LettersArgument = None, all_: AllOption = False) -> None:
    """Read letters anew and book what can be booked; exit code 1 if one stays."""
    admin = session_of(context).admin()
    names = _chosen_letters(admin, letters or [], all_)
    kept = 0
    for start in range(0, len(names), _NAMES_AT_ONCE):
        answer = admin.write("deadLetters:replay", {"names": names[start : start + _NAMES_AT_ONCE]})
        for result in answer.get("results") or ():
            kept += bool(result.get("reason"))
            print(_outcome(result))
    if not names:
        print("no dead letters")
    if kept:
        raise CommandError(f"{kept} of {len(names)} dead letters stay: see their reasons above")


@dlq.command(epilog=GLOBAL_OPTIONS)
def discard(
    context: typer.Context,
    letters: LettersArgument = None,
    reason: Annotated[str, typer.Option(help="Why nobody will book them; kept with them.")] = "",
) -> None:
    """Set letters aside that nobody will book. They are kept, and can still be replayed."""
    admin = session_of(context).admin()
    names = _chosen_letters(admin, letters or [], False)
    if not reason.strip():
        raise typer.BadParameter("say why nobody will book them", param_hint="--reason")
    for start in range(0, len(names), _NAMES_AT_ONCE):
        admin.write("deadLetters:discard", {"names": names[start : start + _NAMES_AT_ONCE], "reason": reason})
    print(f"{len(names)} dead letters set aside")


@app.command(epilog=GLOBAL_OPTIONS)
def verify(
    context: typer.Context,
    from_: FromOption = None,
    to: ToOption = None,
    repair: RepairOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare sums with entries day by day and, unless days are named, budgets with charges; look for what is missing.

    Exit code 1 if anything is wrong.
    """
    from tollctl.ledger import budgets_line, render_budgets, render_day, status_problems

    session = session_of(context)
    admin = session.admin()
    state = admin.read("ledger")
    reports: list[dict[str, Any]] = []
    for day in _days(from_, to, state):
        report = _verify_day(session, admin, day, repair)
        reports.append(report)
        if output is Output.TABLE and report.get("drift_count"):
            write_out(render_day(report))
    budgets = {} if from_ or to else _verify_budgets(session, admin, repair)
    if output is Output.TABLE and budgets.get("drift_count"):
        write_out(render_budgets(budgets))
    problems = status_problems(state)
    drifting = sum(bool(report.get("drift_count")) for report in reports)
    if output is Output.TABLE:
        for problem in problems:
            print(problem)
        entries = sum(int(report.get("entries") or 0) for report in reports)
        if budgets:
            print(budgets_line(budgets))
        print(f"{len(reports)} days, {entries} entries: {drifting} days with drift, {len(problems)} other problems")
    else:
        write_out(render_data({"days": reports, "budgets": budgets, "status": state}, output))
    if drifting or problems or budgets.get("drift_count"):
        raise typer.Exit(1)


@app.command("replay", epilog=GLOBAL_OPTIONS)
def replay_tap(
    context: typer.Context, since: SinceOption, until: UntilOption = None, no_wait: NoWaitOption = False
) -> None:
    """Book again what the tap holds, after the database was restored to an older state; nothing is booked twice."""
    session = session_of(context)
    now = datetime.now(UTC)
    with told_as_usage("--since"):
        asked = {"since_time": render_moment(parse_past(since, now))}
    if until is not None:
        with told_as_usage("--until"):
            asked["until_time"] = render_moment(parse_past(until, now))
    admin = session.admin()
    made = admin.write("ledgerReplays", asked)
    session.tell(f"{made['name']} is asked for; a consumer works on it, and watching it may be ended")
    if no_wait:
        print(made["name"])
        return
    _watch(session, admin, str(made["name"]))


@app.command(epilog=GLOBAL_OPTIONS)
def replays(context: typer.Context, output: OutputOption = Output.TABLE) -> None:
    """List replays, the newest first."""
    from tollctl.ledger import render_replays

    found = session_of(context).admin().collect("ledgerReplays", "ledger_replays")["ledger_replays"]
    write_out(render_replays(found) if output is Output.TABLE else render_data({"ledger_replays": found}, output))


def _chosen_letters(admin: "AdminClient", letters: list[str], all_: bool) -> list[str]:
    if all_ == bool(letters):
        raise typer.BadParameter("name dead letters, or all of them with --all", param_hint="ID")
    if letters:
        return [_letter_name(letter) for letter in letters]
    return [letter["name"] for letter in admin.collect("deadLetters", "dead_letters")["dead_letters"]]


def _letter_name(letter: str) -> str:
    number = letter.removeprefix("deadLetters/")
    if not (number.isascii() and number.isdecimal()):
        raise typer.BadParameter(f"{letter!r} is no number of a dead letter", param_hint="ID")
    return f"deadLetters/{number}"


def _outcome(result: dict[str, Any]) -> str:
    name, reason = result["name"], result.get("reason")
    if reason:
        return f"{name} stays: {reason}"
    counts = [f"{int(result.get(key) or 0)} {word}" for key, word in (("inserted", "booked"), ("duplicates", "known"))]
    fell = int(result.get("new_dead_letters") or 0)
    return f"{name} is gone: {', '.join(counts)}" + (f", {fell} new dead letters" if fell else "")


def _days(from_: str | None, to: str | None, state: dict[str, Any]) -> list[str]:
    """The days to compare, in order; none for an empty ledger."""
    with told_as_usage("--from"):
        first = _day(from_ or state.get("first_day"))
    with told_as_usage("--to"):
        last = _day(to or state.get("last_day"))
    if first is None or last is None:
        return []
    if first > last:
        raise typer.BadParameter(f"{first} is after {last}", param_hint="--from")
    return [str(first + timedelta(days=offset)) for offset in range((last - first).days + 1)]


def _day(text: str | None) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day: write it such as 2026-11-28") from None


def _verify_day(session: Session, admin: "AdminClient", day: str, repair: bool) -> dict[str, Any]:
    """The report of a day; with `repair`, of the day as it is after its sums were made anew."""
    report = admin.read(f"ledger/days/{day}:verify")
    drifts = int(report.get("drift_count") or 0)
    if not (repair and drifts):
        return report
    made = admin.write(f"ledger/days/{day}:repair", {})
    counts = {name: int(made.get(name) or 0) for name in ("removed_sums", "made_sums")}
    session.tell(
        f"{day}: {drifts} rows differed; removed {counts['removed_sums']} rows of sums"
        f" and made {counts['made_sums']} from entries"
    )
    return admin.read(f"ledger/days/{day}:verify")


def _verify_budgets(session: Session, admin: "AdminClient", repair: bool) -> dict[str, Any]:
    """The report of budgets; with `repair`, as they are after they were corrected."""
    report = admin.read("budgets:verify")
    drifts = int(report.get("drift_count") or 0)
    if not (repair and drifts):
        return report
    admin.write("budgets:repair", {})
    session.tell(f"budgets: {drifts} sums differed and are corrected")
    return admin.read("budgets:verify")


def _watch(session: Session, admin: "AdminClient", name: str) -> None:
    """Tells of progress until the replay has ended; raises CommandError unless it has succeeded."""
    import time

    from tollctl.ledger import render_progress, tap_warning

    told = ""
    while True:
        replay = admin.read(name)
        line = render_progress(replay)
        if line != told:
            session.tell(line)
            told = line
        if replay.get("state") in _ENDED:
            break
        time.sleep(_WATCH_INTERVAL_S)
    warning = tap_warning(replay)
    if warning:
        session.tell(warning)
    if replay["state"] != "succeeded":
        raise CommandError(f"{name} {replay['state']}: {replay.get('problem') or 'nothing more is known'}")
    print(line)
