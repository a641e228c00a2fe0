"""Commands that are part of the interface but not built yet: each says so in one sentence and exits 2."""

import click

from syncagent.errors import UsageError


def not_built(name: str, what: str, place: str | None = None) -> click.Command:
    """A command that takes whatever it is given and refuses."""

    @click.command(
        name,
        help=f"{what} (Not built yet.)",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        raise UsageError("this command is not built yet", place=f"syncagent {place or name}")

    return command


NOT_BUILT = (
    not_built("links", "Show and decide what is linked across CRMs."),
    not_built("alert", "List and acknowledge alerts."),
    not_built("plan", "Say what a new configuration would change."),
    not_built("forget", "Erase a person from cache, archive and record lists."),
)
