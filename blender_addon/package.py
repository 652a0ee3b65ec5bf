# SPDX-License-Identifier: GPL-3.0-or-later
"""The name under which Blender knows this extension, and the folders that it may write to."""

from pathlib import Path

import bpy

#: `bl_ext.<repository>.likeness`: preferences and extension_path_user want exactly this name.
ADDON_PKG = __package__ or "likeness"

#: Where the built extension keeps the files that came in its zip. Read only: Blender may install it for all users.
INSTALLED_FOLDER = Path(__file__).resolve().parent


def user_folder(name: str = "") -> Path:
    """A folder of this extension that may be written to, made when it is missing."""
    return Path(bpy.utils.extension_path_user(ADDON_PKG, path=name, create=True))
