"""Refit from Blender: seconds from the click, and what is left of a limb that the artist left wrong.

    .venv-blender/bin/python benchmarks/refit.py dist/likeness-X.zip ENGINE_PYTHON

Runs in an environment that holds bpy; ENGINE_PYTHON is the Python of an environment that holds the engine. For our own
capture and photo: make the avatar, show it as captured, turn one joint, click Refit. `slip` is the turn that was added,
`left` how far the joint is from where it was afterwards. The first row starts the engine too.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Before bpy is imported: Blender reads and writes preferences below this folder, never the user's own.
os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp(prefix="likeness-refit-")

import bpy
import numpy as np
from mathutils import Quaternion
from record import ROOT, keep

SLIPS = (("left_elbow", 0.5), ("right_shoulder", 0.35), ("left_knee", 0.35))


def slipped(addon: Any, rig: bpy.types.Object, joint: str, angle: float, fresh: bool) -> dict[str, Any]:
    """One refit of an avatar whose joint was turned by `angle` radians; fresh: with an engine that must start first."""
    bpy.ops.likeness.pose_over_picture()
    avatar = addon.core.avatar.read_avatar(Path(rig["likeness_avatar"]))
    before = addon.refit.captured_fit(rig, avatar)
    bone = rig.pose.bones[joint]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), angle)
    if fresh:
        addon.runtime.close()
    start = time.monotonic()
    bpy.ops.likeness.refit(wait=True)
    seconds = time.monotonic() - start
    after = addon.refit.captured_fit(rig, avatar)
    turns = [addon.core.frames.rodrigues(fit.pose.astype(np.float64)) for fit in (before, after)]
    row = list(avatar.joint_names).index(joint)
    cosine = (np.trace(turns[0][row].T @ turns[1][row]) - 1) / 2
    return {
        "joint": joint,
        "slip_deg": np.degrees(angle),
        "left_deg": float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        "seconds": seconds,
        "engine": "starts" if fresh else "runs",
    }


def main(archive: Path, engine: str) -> None:
    """Print the table and keep it."""
    bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    rows = []
    for source in (ROOT / "samples" / "capture", ROOT / "samples" / "photo.jpg"):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
        addon = sys.modules["bl_ext.user_default.likeness"]
        prefs = addon.preferences.preferences()
        prefs.engine_python, prefs.output_folder = engine, tempfile.mkdtemp(prefix="likeness-refit-")
        bpy.context.scene.likeness.preset = "preview"
        bpy.ops.likeness.choose(filepath=str(source), wait=True)
        bpy.ops.likeness.create_avatar(wait=True)
        rig = bpy.context.object
        for number, (joint, angle) in enumerate(SLIPS):
            rows.append({"input": source.name, **slipped(addon, rig, joint, angle, fresh=number == 0)})
    keep("refit", rows, slowest_s=max(row["seconds"] for row in rows), blender=bpy.app.version_string)
    sys.stdout.flush()
    # Blender's own shutdown crashes or hangs in some versions when anything is still registered.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
