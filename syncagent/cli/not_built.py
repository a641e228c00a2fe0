"""Commands that are part of the interface but not built yet: each says so in one sentence and exits 2."""

import click

from syncagent.errors import UsageError


def not_built(name: str, what: str, place: str | None = None) -> click.Command:
    """A command that takes whatever it is given and refuses."""

    @click.command(
        name,
        help=f"(not built yet) {what}",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def command(arguments: tuple[str, ...]) -> None:
        raise UsageError("this command is not built yet", place=f"syncagent {place or name}")

    return command


NOT_BUILT = (
    not_built("alert", "The alerts."),
    not_built("plan", "What a new configuration changes."),
    not_built("forget", "Erase a person everywhere."),
)
