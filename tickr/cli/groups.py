"""A group of commands that lists when nothing else is said: ``tickr queue --json`` is ``tickr queue list --json``."""

from __future__ import annotations

import click


class ListingGroup(click.Group):
    """A group whose command ``list`` runs where no other is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        flags_alone = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
        # Whoever completes a line is to see all commands of the group.
        return super().parse_args(ctx, ["list", *args] if flags_alone and not ctx.resilient_parsing else args)
