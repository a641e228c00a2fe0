"""`links`: which records of several CRMs are one, why, and what people say of it."""

import getpass
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from syncagent.cli.common import App, count_of, json_option, pass_app, print_json, print_table
from syncagent.clock import local_time
from syncagent.errors import OK, REFUSED, UsageError

if TYPE_CHECKING:
    import sqlite3

_NAME = 40
#: What each kind is called in the table.
_RULES = {
    "hard": "stored id",
    "manual": "said by a person",
    "email": "e-mail address",
    "domain": "domain",
    "login": "user's e-mail address",
    "deal": "won deals alike",
    "message": "message",
    "moment": "kind, owner, person and time",
    "candidate": "candidate, not counted",
    "conflict": "conflict, not counted",
    "orphan": "orphan",
    "never": "never, said by a person",
}


@click.group("links", short_help="Records kept in several CRMs: what is one, and why.")
def links_group() -> None:
    """Records kept in several CRMs: what is one, why, and what you say of it."""


@links_group.command("list", short_help="How many there are, and what wants a decision.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(tuple(_RULES)), help="Only these; may be repeated.")
@click.option(
    "--object",
    "tables",
    multiple=True,
    type=click.Choice(("accounts", "contacts", "opportunities", "users", "activities")),
    help="Only of these tables; may be repeated.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Links to print (JSON: all).")
@json_option
@pass_app
def list_command(app: App, kinds: tuple[str, ...], tables: tuple[str, ...], limit: int, as_json: bool) -> int:
    """How many records are linked by which rule; candidates, conflicts and orphans by name, or what --kind asks for.

    \b
    Examples:
      syncagent links list
      syncagent links list --kind manual --kind never
    """
    from syncagent.identity import LINKED, shown
    from syncagent.store import read_cache

    alike = app.config.identity.deal_heuristic != "off"
    asked = tables or tuple(LINKED)
    with closing(read_cache(app.config.agent.data_dir)) as cache:
        shown.register(cache, app.config.reporting())
        if as_json:
            print_json(shown.links_of(cache, kinds or shown.KINDS, asked, deals_alike=alike))
            return OK
        counts = [one for one in shown.counts_of(cache, deals_alike=alike) if one["object"] in asked]
        links = shown.links_of(cache, kinds or shown.OPEN, asked, limit=limit, deals_alike=alike)
    if not counts:
        click.echo("No record is linked with another.")
        return OK
    print_table(
        ("table", "rule", "links"), [(o["object"], _RULES[o["kind"]], f"{o['links']:,}") for o in counts], right=(2,)
    )
    if links:
        click.echo()
        _print_links(links, app.config.agent.timezone)
    total = sum(one["links"] for one in counts if one["kind"] in (kinds or shown.OPEN))
    if total > len(links):
        click.echo(f"… and {total - len(links):,} more: --limit, or --json for all")
    return OK


@links_group.command("why", short_help="What a record is one with, and by which rule.")
@click.argument("id_", metavar="ID")
@json_option
@pass_app
def why_command(app: App, id_: str, as_json: bool) -> int:
    """What record ID is one with: by which rule, since when, who said so. ID is ours or the CRM's own.

    \b
    Example:
      syncagent links why hs:opportunities:42
    """
    from syncagent.identity import shown
    from syncagent.store import read_cache

    with closing(read_cache(app.config.agent.data_dir)) as cache:
        shown.register(cache, app.config.reporting())
        table, found = _meant(cache, id_)
        told = shown.why(cache, table, found, deals_alike=app.config.identity.deal_heuristic != "off")
    if as_json:
        print_json(told)
        return OK
    if len(told["records"]) == 1:
        click.echo(f"{found} stands for itself alone.")
    else:
        click.echo(f"{found} is one with {count_of(len(told['records']) - 1, 'other record')}.")
    print_table(("id", "name", "counts"), [(one["id"], _short(one["name"]), _standing(one)) for one in told["records"]])
    if told["links"]:
        click.echo()
        _print_links(told["links"], app.config.agent.timezone)
    return OK


_said_options = (
    click.option("--note", metavar="TEXT", help="Why, for those who ask later."),
    click.option("--by", metavar="NAME", help="Who says so. Default: this user."),
    click.option("--undo", is_flag=True, help="Take back what was said of these two: the rules decide again."),
)


def _saying(command: Any) -> Any:
    for option in reversed(_said_options):
        command = option(command)
    return command


@links_group.command("link", short_help="Say that two records are the same.")
@click.argument("a")
@click.argument("b")
@_saying
@pass_app
def link_command(app: App, a: str, b: str, note: str | None, by: str | None, undo: bool) -> int:
    """Say that records A and B are the same: one of them counts. Outlives every sync.

    \b
    Examples:
      syncagent links link hs:accounts:9 sf:accounts:001A --note "renamed last year"
      syncagent links link hs:accounts:9 sf:accounts:001A --undo
    """
    return _say(app, (a, b), "link", note, by, undo)


@links_group.command("unlink", short_help="Say that two records are not the same.")
@click.argument("a")
@click.argument("b")
@_saying
@pass_app
def unlink_command(app: App, a: str, b: str, note: str | None, by: str | None, undo: bool) -> int:
    """Say that records A and B are not the same, whatever the rules find. Outlives every sync.

    \b
    Example:
      syncagent links unlink hs:contacts:7 sf:contacts:003B
    """
    return _say(app, (a, b), "never", note, by, undo)


def _say(app: App, names: tuple[str, str], verdict: str, note: str | None, by: str | None, undo: bool) -> int:
    """Keep it where nothing rebuilds it, bring the cache up to date, and show what came of it."""
    from scorecards.values import instant
    from syncagent import facts
    from syncagent.identity import decisions
    from syncagent.store import open_cache, open_state, read_cache, transaction

    config = app.config
    with closing(read_cache(config.agent.data_dir)) as cache:
        (table, one), (other_table, other) = (_meant(cache, name) for name in names)
        place = f"{one} and {other}"
        if table != other_table or one == other:
            what = "this is one record" if one == other else f"{table} and {other_table} cannot be the same"
            raise UsageError(what, place=place, mend="Name two records of one table.")
    pair = decisions.ordered(one, other)
    config_says = next(
        (
            word
            for word, pairs in (("link", config.identity.link), ("never_link", config.identity.never_link))
            if pair in {decisions.ordered(*said) for said in pairs}
        ),
        None,
    )
    if config_says:
        mend = f"Change [identity] {config_says} in {config.path}."
        raise UsageError("the configuration says what these two are", place=place, mend=mend)
    with closing(open_state(config.agent.data_dir)) as state, transaction(state):
        if not undo:
            who = by or _user()
            decisions.decide(state, pair, verdict, said_by=who, said_at=instant(app.clock()), note=note)
        elif not decisions.take_back(state, pair):
            raise UsageError("nothing was said of these two", place=place, mend="See `syncagent links list`.")
    with closing(open_cache(config.agent.data_dir)) as cache:  # which adopts what state.db holds
        if not facts.is_settled(cache, config.reporting()):
            click.echo(f"{place}: kept; it takes effect with the next sync")
            return OK
        facts.refresh(cache, config.reporting())
        found = cache.execute("SELECT kind, evidence FROM entity_links WHERE a_id = ? AND b_id = ?", pair).fetchone()
    kind, evidence = found or (None, "")
    click.echo(f"{place}: {_RULES[kind] if kind else 'not linked'}{f' ({evidence})' if evidence else ''}")
    return REFUSED if kind == "conflict" and not undo else OK


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "somebody"


def _meant(cache: "sqlite3.Connection", said: str) -> tuple[str, str]:
    """(table, id) of the record somebody names. Raises UsageError."""
    from syncagent.identity import LINKED, shown

    found = shown.find(cache, said)
    if not found:
        mend = f"Name it SOURCE:TABLE:ID with a table of {', '.join(LINKED)}."
        raise UsageError("no record that can be linked has this id", place=said, mend=mend)
    if len(found) > 1:
        raise UsageError("several records have this id", place=said, mend=f"Name {' or '.join(i for _, i in found)}.")
    return found[0]


def _standing(record: dict[str, Any]) -> str:
    if record["is_counted"]:
        return "yes"
    if record["merged_into"]:
        return f"no: merged into {record['merged_into']}"
    return "no: deleted" if record["is_deleted"] else "no: a test" if record["is_test"] else "no: linked"


def _print_links(links: list[dict[str, Any]], zone: str) -> None:
    print_table(
        ("rule", "record", "and", "since", "said by", "why"),
        [
            (
                _RULES[one["kind"]],
                _named(one["a_id"], one["a_name"]),
                _named(one["b_id"], one["b_name"]),
                local_time(one["since"], zone) if one["since"] else "",
                one["said_by"],
                one["why"],
            )
            for one in links
        ],
    )


def _named(id_: str | None, name: str | None) -> str:
    return " ".join(part for part in (id_, f"({_short(name)})" if name else "") if part)


def _short(name: str | None) -> str:
    name = name or ""
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
