"""An avatar's bent joints in Blender beside the engine's posing: distance on the shipped clips, and the cost a frame.

    .venv-blender/bin/python benchmarks/bending.py dist/likeness-X.zip NAME.avatar

Runs in an environment that holds bpy. The engine's posing is the extension's own copy of the core: skinning with pose
correctives. `plain` is what skinning alone leaves undone.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Before bpy is imported: Blender reads and writes preferences below this folder, never the user's own.
os.environ["BLENDER_USER_RESOURCES"] = tempfile.mkdtemp(prefix="likeness-bending-")

import bpy
import numpy as np
from record import keep

FRAMES_A_CLIP = 6
PLAYED_FRAMES = 60
PLAYED_CLIP = "walk_02_01"


def posed_by_engine(addon: Any, avatar: Any, pose: np.ndarray, trans: np.ndarray, correctives: bool) -> np.ndarray:
    """(V, 3) metres in Blender's axes. pose (J, 3) axis-angle, trans (3,)."""
    turns = addon.core.frames.rodrigues(pose.astype(np.float64))
    rest = avatar.vertices.astype(np.float64)
    if correctives:
        rest = rest + avatar.correctives.offsets(turns, len(rest))
    moves = addon.core.skinning.joint_transforms(turns, avatar.rest_joints.astype(np.float64), avatar.parents)
    posed = addon.core.skinning.skin(rest, avatar.skin_joints, avatar.skin_weights.astype(np.float64), moves)
    return addon.coordinates.to_blender(posed + trans)


def posed_by_blender(body: bpy.types.Object) -> np.ndarray:
    """(V, 3) metres of the deformed mesh in the armature's space."""
    bpy.context.view_layer.update()
    mesh = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    out = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", out)
    return out.reshape(-1, 3).astype(np.float64)


def compare(addon: Any, rig: bpy.types.Object, avatar: Any, path: Path) -> dict[str, Any]:
    """The worst of some frames of a clip, millimetres."""
    clip = addon.core.motion.read_clip(path).upright(avatar.rest_joints[0]).with_joints(len(avatar.joint_names))
    found = []
    for frame in np.linspace(0, len(clip) - 1, FRAMES_A_CLIP).astype(int):
        pose, trans = clip.poses[frame], clip.trans[frame].astype(np.float64)
        addon.armature.set_pose(rig, pose, trans)
        truth = posed_by_engine(addon, avatar, pose, trans, correctives=True)
        off = 1000 * np.linalg.norm(posed_by_blender(rig.children[0]) - truth, axis=1)
        plain = 1000 * np.linalg.norm(posed_by_engine(addon, avatar, pose, trans, correctives=False) - truth, axis=1)
        found.append(
            [off.mean(), np.percentile(off, 99), off.max(), plain.mean(), np.percentile(plain, 99), plain.max()]
        )
    names = ("mean_mm", "p99_mm", "worst_mm", "plain_mean_mm", "plain_p99_mm", "plain_worst_mm")
    return {"clip": path.stem, **dict(zip(names, np.max(found, axis=0).tolist(), strict=True))}


def frame_ms() -> float:
    """Processor time a frame of the scene's animation, milliseconds."""
    scene = bpy.context.scene
    start = time.process_time()
    for frame in range(scene.frame_start, scene.frame_start + PLAYED_FRAMES):
        scene.frame_set(frame)
    return 1000 * (time.process_time() - start) / PLAYED_FRAMES


def main(archive: Path, folder: Path) -> None:
    """Print the table and keep it."""
    bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    addon = sys.modules["bl_ext.user_default.likeness"]
    rig = addon.importer.import_avatar(folder)
    avatar, (body,) = addon.core.avatar.read_avatar(folder), rig.children
    keys = len(body.data.shape_keys.key_blocks) - 1
    rows = [compare(addon, rig, avatar, path) for path in addon.core.motion.list_clips().values()]
    bpy.ops.likeness.apply_motion(clip=PLAYED_CLIP)
    with_keys = frame_ms()
    body.shape_key_clear()
    keep(
        "bending",
        rows,
        avatar_vertices=len(avatar.vertices),
        keys=keys,
        frame_with_keys_cpu_ms=round(with_keys, 1),
        frame_without_cpu_ms=round(frame_ms(), 1),
        blender=bpy.app.version_string,
    )
    sys.stdout.flush()
    # Blender's own shutdown crashes or hangs in some versions when anything is still registered.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
