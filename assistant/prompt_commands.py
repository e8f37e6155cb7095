"""`hone prompts`: the group that all commands on prompts belong to."""

import click

from feedback.command_line import HoneGroup


@click.group("prompts", cls=HoneGroup)
def prompts_group() -> None:
    """Prompts: versions and labels, import and export, evaluation."""
