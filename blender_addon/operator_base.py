# SPDX-License-Identifier: GPL-3.0-or-later
"""What all our operators share: a LikenessError becomes one sentence and a hint, never a traceback."""

import bpy

from .core.errors import LikenessError


class LikenessOperator:
    """Mix in before bpy.types.Operator and write `run` instead of `execute`."""

    def run(self, context: bpy.types.Context) -> None:
        """Do the work. Raises LikenessError with what the artist is to read."""
        raise LikenessError("defect.operator", f"{type(self).__name__} does nothing.", "Please report this.")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Called by Blender; from Python an error arrives as RuntimeError with the same sentences."""
        try:
            self.run(context)
        except LikenessError as error:
            self.report({"ERROR"}, f"{error.message} {error.hint}".strip())  # type: ignore[attr-defined]
            return {"CANCELLED"}
        return {"FINISHED"}
