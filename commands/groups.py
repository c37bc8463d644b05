"""Command groups (help under headings, a default command) and the examples in a help text."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

# The first sentence of a command's help is never cut: the formatter wraps it.
_NO_LIMIT = 1000


class HeadingGroup(TyperGroup):
    """A group that lists its commands under headings; those without one come under "Commands"."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each heading."""
        listed = {name for names in self.headings.values() for name in names}
        others = [name for name in self.commands if name not in listed]
        for heading, names in (*self.headings.items(), ("Commands", others)):
            shown = [(name, self.commands[name]) for name in names]
            rows = [(name, command.get_short_help_str(_NO_LIMIT)) for name, command in shown if not command.hidden]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


class DefaultGroup(HeadingGroup):
    """A group that runs its command ``run`` unless the first word names another command.

    ``venation worker soy`` means ``venation worker run soy``; a study called ``list`` needs the
    long form.
    """

    default: ClassVar[str] = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of the default command where it was left out."""
        named = (*self.commands, *self.get_help_option_names(ctx))
        # A shell that completes the first word passes no words, and has to offer every command.
        if not ctx.resilient_parsing and (not args or args[0] not in named):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage of the default command."""
        return self.commands[self.default].collect_usage_pieces(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options of the default command, then the commands."""
        self.commands[self.default].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


def examples(*commands: str) -> str:
    """Return the epilog of a command's help that shows ``commands`` as they are typed."""
    return "\n".join(("\b", "Examples:", *(f"  venation {command}" for command in commands)))


def new_group(text: str, *, cls: type[TyperGroup] = HeadingGroup, epilog: str | None = None) -> typer.Typer:
    """Return an empty command group.

    Its help is plain, because Rich's markup eats square brackets.
    """
    return typer.Typer(
        help=text, no_args_is_help=cls is not DefaultGroup, rich_markup_mode=None, cls=cls, epilog=epilog
    )
