"""What a person is told of a finished sync: a table, then a line for each thing worth knowing."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING

import click

from syncagent.cli.common import count_of, print_table
from syncagent.clock import local_time
from syncagent.completeness import differs

if TYPE_CHECKING:
    from syncagent.config import Config
    from syncagent.sync import StreamReport

#: Under this name a login that failed is reported: it belongs to no stream, and has nothing for the table.
LOGIN = "login"
#: The column of the table that files do not have: nobody counts them.
_HELD = 5


def show_reports(reports: Sequence["StreamReport"], timezone: str, *, is_quiet: bool = False) -> None:
    """A table that fits 80 columns, then what a person should know, a line each; `is_quiet`: what failed alone."""
    from syncagent.sync import STOPPED

    table = [
        (
            r.source,
            r.stream,
            f"{r.read:,}",
            f"{r.changed:,}",
            f"{r.deleted:,}",
            held(r.cache_count, r.crm_count),
            _took(r.seconds),
        )
        for r in reports
        if r.stream != LOGIN and not r.not_readable
    ]
    if table and not is_quiet:
        headings = ("source", "stream", "read", "changed", "deleted", "here, of CRM", "took")
        shown = [at for at in range(len(headings)) if at != _HELD or any(row[at] for row in table)]
        print_table(
            [headings[at] for at in shown], [[row[at] for at in shown] for row in table], right=range(2, len(shown))
        )
    for report in reports:
        for line in () if is_quiet else _lines(report):
            click.echo(line)
        if report.error == STOPPED and report.stream == LOGIN:
            click.echo(f"{report.source}: stopped before any of it was read; the next sync goes on there", err=True)
        elif report.error:
            what = "can no longer be read by this login: " if report.outcome == "withdrawn" else ""
            click.echo(f"{report.source} {report.stream}: {what}{report.error}", err=True)
    for source in dict.fromkeys(report.source for report in reports):
        own = [report for report in reports if report.source == source]
        if not is_quiet:
            _show_source(own)
        _show_rest(own, timezone)


def _lines(report: "StreamReport") -> Iterator[str]:
    """What is worth knowing of one stream's records."""
    place, again = f"{report.source} {report.stream}", f"`syncagent sync {report.source} --stream {report.stream}"
    if report.reconciled and (report.found_missing or report.found_gone):
        yield (
            f"{place}: compared with the CRM: {report.found_missing:,} were missing here,"
            f" {report.found_gone:,} are gone there; put right"
        )
    if report.merged:
        were, count = ("record was", "counts") if report.merged == 1 else ("records were", "count")
        yield f"{place}: {report.merged:,} {were} merged into others there and {count} no more"
    if report.suspect:
        gone, of = report.suspect
        yield (
            f"{place}: {gone:,} of {of:,} records were not in the CRM's own list; nothing was deleted here."
            f" If they are gone there: {again} --full`."
        )
    elif _differs(report):
        mend = f"Compare them: {again} --reconcile`."
        if report.reconciled:
            mend = "They were compared just now: the CRM's count and its list differ; count again later."
        yield f"{place}: the CRM has {report.crm_count:,} records, {report.cache_count:,} are here. {mend}"
    for note in report.notes:
        yield f"{place}: {note['message']}. {note['mend']}".rstrip()
    if report.rejected:
        rows = count_of(report.rejected, "row")
        yield f"{place}: {rows} could not be used; {report.first_reject or ''} (all of them: {report.reject_file})"
    if report.still_rejected:
        rows = count_of(report.still_rejected, "row")
        yield f"{place}: {rows} of earlier syncs still cannot be used: see {report.reject_file}"


def _differs(report: "StreamReport") -> bool:
    """Whether a stream that was read lacks, or has too much of, more than comes and goes between two looks."""
    if report.error or report.crm_count is None or report.cache_count is None:
        return False
    return differs(report.crm_count, report.cache_count)


def _show_source(reports: Sequence["StreamReport"]) -> None:
    """What is worth knowing of all streams of one source together."""
    source = reports[0].source
    for is_counted, none in ((True, ", none missing here, none gone there"), (False, "")):
        clean = [r for r in reports if r.reconciled and not (r.found_missing or r.found_gone)]
        clean = [r for r in clean if r.is_counted == is_counted]
        if clean:
            records = count_of(sum(report.compared for report in clean), "record")
            streams = count_of(len(clean), "stream") if len(clean) > 1 else clean[0].stream
            click.echo(f"{source}: compared with the CRM: {records} in {streams}{none}")
    if bulk := [report.stream for report in reports if report.bulk]:
        click.echo(f"{source}: read by bulk jobs: {', '.join(bulk)}")
    if left_out := [report.stream for report in reports if report.not_readable]:
        click.echo(f"{source}: not read, as this login may not: {', '.join(left_out)} (`syncagent check` says why)")


def _show_rest(reports: Sequence["StreamReport"], timezone: str) -> None:
    """Until when the daemon leaves a failing source alone."""
    source = reports[0].source
    resting = next((report for report in reports if report.rests_until), None)
    if resting is not None and resting.rests_until is not None:
        is_asked = resting.rest_cause == "asked"  # for the pause: nobody is to come sooner
        mend = "it asked for that pause" if is_asked else "sooner once `syncagent check` finds its login in order"
        at = local_time(resting.rests_until, timezone)
        click.echo(f"{source}: the daemon leaves it alone until {at}; {mend}", err=True)


def show_unfilled(config: "Config", reports: Sequence["StreamReport"]) -> None:
    """Fields the configuration maps and no object of the stream has, a line each: their columns stay empty."""
    from connectors.settings import CrmSettings
    from syncagent.store import read_cache

    with closing(read_cache(config.agent.data_dir)) as cache:
        for report in reports:
            settings = config.sources[report.source]
            mapped = settings.fields.items() if isinstance(settings, CrmSettings) else ()
            lacking = {name for warning in report.warnings for name in _lacking_in(warning)}
            for table, column, theirs in ((table, *pair) for table, fields in mapped for pair in fields.items()):
                described = cache.execute(
                    "SELECT max(field = ?) FROM source_fields WHERE source_name = ? AND table_name = ?",
                    (theirs, report.source, table),
                ).fetchone()[0]
                is_of_another = table in settings.stream_names and table != report.stream
                if (
                    theirs not in lacking or is_of_another or described != 0
                ):  # None: a sync of some streams alone describes none
                    continue
                click.echo(
                    f"{report.source} {report.stream}: there is no field {theirs}, so {column} of {table} stays empty;"
                    f" `syncagent source fields {report.source} {table}` lists what there is"
                )


def _lacking_in(warning: str) -> list[str]:
    """The fields named in `STREAM: OBJECT has no A, B; left empty`."""
    _, _, rest = warning.partition(" has no ")
    return rest.removesuffix("; left empty").split(", ") if rest.endswith("; left empty") else []


def show_changes(config: "Config", since: datetime) -> None:
    """What changed in the sources' own schemas and feeds a column of ours; the daemon's mails are not spared by it."""
    from syncagent import drift
    from syncagent.store import read_cache

    with closing(read_cache(config.agent.data_dir)) as cache:
        for change in drift.changes(cache, since=since):
            click.echo(f"{change.sentence} {drift.touched(change, config).sentence}")


def held(here: int | None, of_crm: int | None) -> str:
    """`12,345 of 12,347`: live records here, and in the CRM; `all 12,347` where that is the same."""
    if here is None or of_crm is None:
        return ""
    return f"all {here:,}" if here == of_crm else f"{here:,} of {of_crm:,}"


def _took(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2.5 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
