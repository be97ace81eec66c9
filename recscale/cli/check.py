"""The verb that holds a model family against the contract: check."""

from __future__ import annotations

import json
import os
import sys

import click

from recscale.cli.shell import USAGE, Verb, as_json, refuse, say


@click.command(cls=Verb)
@click.argument("family")
@click.option("--at", multiple=True, metavar="AXIS=VALUE", help="At another value than the default")
@as_json
def check(family: str, at: tuple[str, ...], as_json: bool) -> None:
    """Hold a model family of your own against the contract that all families pass.

    Example: recscale check my_pkg.my_model:MyFamily --at mlp_width=16
    """
    import yaml

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # two workers of one machine share no GPU
    axes = {}
    for given in at:
        axis, equals, value = given.partition("=")
        if not (axis and equals):
            refuse(f"--at {given}: write an axis and its value, such as --at mlp_width=16")
        try:
            axes[axis] = yaml.safe_load(value)
        except yaml.YAMLError:
            refuse(f"--at {given}: {value!r} is no value; write it as in a sweep file")
    from recscale.testing import findings
    from recscale.testing.workers import quiet

    quiet()
    said = []
    for finding in findings(family, **axes):
        said.append(finding)
        if not as_json:
            say(finding.line)
    if as_json:
        say(json.dumps([vars(f) for f in said], indent=1))
    sys.exit(0 if all(f.holds for f in said) else USAGE)
