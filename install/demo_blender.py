# SPDX-License-Identifier: GPL-3.0-or-later
"""Inside Blender: install the built extension, bring in an avatar, let it walk, render frames and a video.

    python demo_blender.py EXTENSION.zip NAME.avatar OUT CLIP FRAMES WIDTH HEIGHT

Works through the extension's operators alone, as an artist's script would. Run by demo.py, which sets
BLENDER_USER_RESOURCES to a throw-away folder before Blender starts.
"""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import bpy
from mathutils import Vector

FPS = 24
#: Few, because the denoiser evens them out: 4 s of processor time a frame instead of 16.
SAMPLES = 8
#: Where the camera stands, seen from the person: to its front right (its face looks along -Y), at breast height.
CAMERA_OFFSET_M = Vector((-1.45, -4.4, 0.25))
LENS_MM = 50.0


@dataclass(frozen=True)
class Order:
    """The command line, read."""

    archive: Path
    avatar: Path
    out: Path
    clip: str
    frames: int
    width_px: int
    height_px: int

    @property
    def stem(self) -> str:
        """Name of the .blend and of the video."""
        return self.avatar.stem


def tell(text: str) -> None:
    """A line that demo.py shows."""
    print(f"[demo] {text}", flush=True)


def install(archive: Path) -> None:
    """Install the zip as an artist does with Install from Disk. Raises RuntimeError."""
    done = bpy.ops.extensions.package_install_files(filepath=str(archive), repo="user_default", enable_on_install=True)
    if done != {"FINISHED"} or not hasattr(bpy.types, "LIKENESS_OT_import_avatar"):
        raise RuntimeError(f"Blender did not install {archive.name}")


def walking_avatar(order: Order) -> bpy.types.Object:
    """An empty scene, the avatar in it, moving by the clip. Returns its armature."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=False)
    scene = bpy.context.scene
    scene.render.fps = FPS
    bpy.ops.likeness.import_avatar(filepath=str(order.avatar))
    bpy.ops.likeness.apply_motion(clip=order.clip)
    scene.frame_start = 1
    scene.frame_end = min(order.frames, scene.frame_end)
    return bpy.context.object


def path_of(rig: bpy.types.Object) -> list[Vector]:
    """Where the pelvis is at each frame of the scene, world space, metres."""
    scene = bpy.context.scene
    points = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        points.append(rig.matrix_world @ rig.pose.bones["pelvis"].head)
    return points


def add_camera(points: list[Vector], height_m: float) -> None:
    """A camera that travels beside the walk without copying its bobbing: a straight line from first to last step."""
    scene = bpy.context.scene
    data = bpy.data.cameras.new("Demo Camera")
    data.lens, data.sensor_fit = LENS_MM, "VERTICAL"
    camera = bpy.data.objects.new("Demo Camera", data)
    scene.collection.objects.link(camera)
    scene.camera = camera
    middle = height_m * 0.5
    scale = max(height_m, 0.5) / 1.75
    for number, frame in enumerate(range(scene.frame_start, scene.frame_end + 1)):
        share = number / max(len(points) - 1, 1)
        aim = points[0].lerp(points[-1], share)
        aim.z = middle
        camera.location = aim + CAMERA_OFFSET_M * scale
        camera.rotation_euler = (aim - camera.location).to_track_quat("-Z", "Y").to_euler()
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_euler", frame=frame)


def add_light() -> None:
    """A soft sun from the front left, and a bright surrounding, so that the baked colours look as they are."""
    scene = bpy.context.scene
    sun = bpy.data.lights.new("Demo Sun", "SUN")
    sun.energy, sun.angle = 2.6, math.radians(6)
    holder = bpy.data.objects.new("Demo Sun", sun)
    holder.rotation_euler = (math.radians(48), math.radians(-8), math.radians(38))
    scene.collection.objects.link(holder)
    world = bpy.data.worlds.new("Demo World")
    if world.node_tree is None:
        world.use_nodes = True
    background = world.node_tree.nodes.get("Background")
    background.inputs["Color"].default_value = (0.80, 0.84, 0.90, 1.0)
    background.inputs["Strength"].default_value = 0.75
    scene.world = world


def add_floor(points: list[Vector]) -> None:
    """A matt floor, large enough that its edge is far behind the person, with a chequer that shows the steps."""
    centre = points[0].lerp(points[-1], 0.5)
    bpy.ops.mesh.primitive_plane_add(size=60.0, location=(centre.x, centre.y, 0.0))
    floor = bpy.context.object
    floor.name = "Demo Floor"
    material = bpy.data.materials.new("Demo Floor")
    if material.node_tree is None:
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = 0.9
    chequer = nodes.new("ShaderNodeTexChecker")
    chequer.inputs["Scale"].default_value = 1.0
    chequer.inputs["Color1"].default_value = (0.42, 0.43, 0.45, 1.0)
    chequer.inputs["Color2"].default_value = (0.35, 0.36, 0.38, 1.0)
    place = nodes.new("ShaderNodeTexCoord")
    move = nodes.new("ShaderNodeMapping")
    move.inputs["Location"].default_value = (0.0, 0.0, 0.5)
    links.new(place.outputs["Object"], move.inputs["Vector"])
    links.new(move.outputs["Vector"], chequer.inputs["Vector"])
    links.new(chequer.outputs["Color"], shader.inputs["Base Color"])
    floor.data.materials.append(material)


def set_up_render(order: Order) -> None:
    """Cycles on the CPU with few samples and a denoiser; colours as baked (view transform Standard)."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = True
    scene.cycles.denoising_quality = "FAST"
    scene.cycles.denoising_prefilter = "NONE"
    scene.cycles.max_bounces = 2
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y = order.width_px, order.height_px
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"


def render_frames(folder: Path) -> int:
    """Render each frame to `folder/0001.png`, ... Returns how many."""
    scene = bpy.context.scene
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    frames = range(scene.frame_start, scene.frame_end + 1)
    start = time.monotonic()
    for number, frame in enumerate(frames, 1):
        scene.frame_set(frame)
        scene.render.filepath = str(folder / f"{frame:04d}.png")
        bpy.ops.render.render(write_still=True)
        each = (time.monotonic() - start) / number
        if number == 1 or number % 5 == 0 or number == len(frames):
            tell(f"frame {number} of {len(frames)}, about {each * (len(frames) - number):.0f} s left")
    return len(frames)


def encode(folder: Path, count: int, target: Path, order: Order) -> None:
    """Write the frames as an H.264 video by Blender's own encoder, in a sequencer scene that is removed again."""
    scene = bpy.data.scenes.new("Demo Video")
    editor = scene.sequence_editor_create()
    # Blender 5 calls strips what was called sequences before.
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    strip = strips.new_image("walk", str(folder / "0001.png"), channel=1, frame_start=1)
    for frame in range(2, count + 1):
        strip.elements.append(f"{frame:04d}.png")
    strip.frame_final_duration = count
    scene.frame_start, scene.frame_end = 1, count
    render = scene.render
    render.fps = FPS
    render.resolution_x, render.resolution_y, render.resolution_percentage = order.width_px, order.height_px, 100
    scene.view_settings.view_transform = "Standard"
    if hasattr(render.image_settings, "media_type"):  # from Blender 5.0 on
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format = "MPEG4"
    render.ffmpeg.codec = "H264"
    render.ffmpeg.constant_rate_factor = "HIGH"
    render.ffmpeg.audio_codec = "NONE"
    render.use_file_extension = False
    render.filepath = str(target)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)


def run(order: Order) -> None:
    """All steps. Raises RuntimeError where an operator refuses."""
    install(order.archive)
    tell(f"Blender {bpy.app.version_string}, extension {order.archive.name} installed")
    rig = walking_avatar(order)
    height = rig.dimensions.z if rig.dimensions.z > 0.5 else 1.75
    body = next(child for child in rig.children if child.type == "MESH")
    height = max((corner[2] for corner in body.bound_box), default=height)
    points = path_of(rig)
    add_floor(points)
    add_light()
    add_camera(points, height)
    set_up_render(order)
    bpy.context.scene.frame_set(1)
    bpy.ops.file.pack_all()
    bpy.context.preferences.filepaths.save_version = 0  # no sample.blend1 beside it
    blend = order.out / f"{order.stem}.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=True)
    tell(f"{blend.name} saved")
    count = render_frames(order.out / "frames")
    encode(order.out / "frames", count, order.out / f"{order.stem}.mp4", order)
    tell("video written")


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 otherwise, with the traceback in the log."""
    archive, avatar, out, clip, frames, width, height = arguments
    order = Order(Path(archive), Path(avatar), Path(out), clip, int(frames), int(width), int(height))
    try:
        run(order)
    except Exception:  # noqa: BLE001 - the process must end itself, or Blender may hang instead of reporting
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Blender's module may crash or hang while it shuts down with things still registered.
    os._exit(status)
