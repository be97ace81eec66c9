"""The code of a user's own families on its way to the workers.

A Ray of our own runs on this machine, where they find what the driver found. On a cluster the files
go with the sweep as Ray's `py_modules`, besides what `ray job submit --working-dir` brings, unless
they belong to an installed package: that has to be installed on every node, like recscale itself.
"""

from __future__ import annotations

import os
from typing import Any

from recscale.families import ModelSpec, TrainerSpec
from recscale.families.command import script, sources
from recscale.families.door import Loaded, load, load_function
from recscale.families.own import OwnSpec
from recscale.spec import SweepSpec


def code_of(spec: SweepSpec) -> dict[str, Any]:
    """Ray's runtime environment of the sweep's workers; empty where they need nothing."""
    modules: dict[str, None] = {}
    for model in spec.models:
        if isinstance(model, TrainerSpec) and model.command:
            found = script(model.command)
            modules |= dict.fromkeys(sources(found) if found else ())
            continue
        found = _found(model)
        if found is not None and not found.installed:
            modules[found.top] = None
            # a module that stands alone takes those with it that stand beside it
            beside = (f for f in found.files if os.path.dirname(f) == os.path.dirname(found.top))
            modules |= dict.fromkeys(beside)
    return {"py_modules": list(modules)} if modules else {}


def _found(model: ModelSpec) -> Loaded | None:
    if isinstance(model, TrainerSpec):
        return load_function(model.family)
    return load(model.family) if isinstance(model, OwnSpec) else None
