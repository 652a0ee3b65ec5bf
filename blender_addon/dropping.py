# SPDX-License-Identifier: GPL-3.0-or-later
"""Files dropped into the 3D view, while the Likeness tab is the one that shows."""

import bpy


class LIKENESS_FH_input(bpy.types.FileHandler):
    """Photos and captures"""

    bl_idname = "LIKENESS_FH_input"
    bl_label = "Photo or capture for an avatar"
    bl_import_operator = "likeness.choose"
    bl_file_extensions = ".png;.jpg;.jpeg;.heic;.webp;.npz;.r3d"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """Elsewhere a picture dropped into the view stays what it is in Blender: a reference image."""
        area = context.area
        if area is None or area.type != "VIEW_3D" or not area.spaces.active.show_region_ui:
            return False
        sidebar = next((region for region in area.regions if region.type == "UI"), None)
        return sidebar is not None and getattr(sidebar, "active_panel_category", "") == "Likeness"


CLASSES = (LIKENESS_FH_input,)
