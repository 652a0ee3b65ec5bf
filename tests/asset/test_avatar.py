"""From captured surface to avatar folder: the round trip, the texture, the GLB, the views."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from likeness.asset.bake import bake
from likeness.asset.build import build_avatar, confidence, rest_body, unposed, world_from_capture
from likeness.asset.geometry import vertex_normals
from likeness.asset.glb import split_corners, write_glb
from likeness.asset.rays import RayScene
from likeness.asset.render import TexturedMesh, render_mesh
from likeness.asset.texture import MipTexture, decode_png
from likeness.asset.views import (
    camera_view,
    captured_vertices,
    captured_view,
    clip_views,
    fitted_pelvis,
    framing_camera,
    on_floor,
    orbit,
    pose_avatar,
    render_views,
    resized,
)
from likeness.core.avatar import GUESSED, MEASURED, SEEN, Avatar, read_avatar, write_avatar
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.core.motion import MotionClip
from PIL import Image

VALIDATOR_SCRIPT = """
const validator = require(process.argv[1] + '/gltf-validator');
const data = require('fs').readFileSync(process.argv[2]);
validator.validateBytes(new Uint8Array(data)).then(r => console.log(JSON.stringify(r.issues)));
"""


def build(scene, **settings) -> Avatar:
    return build_avatar(
        scene.surface,
        scene.capture,
        scene.model,
        scene.fit,
        name="Painted",
        method="draped",
        settings={"preset": "standard", "seed": 3, **settings},
    )


@pytest.fixture(scope="module")
def painted(painted_scene: Callable):
    return painted_scene(1024)


@pytest.fixture(scope="module")
def avatar(painted) -> Avatar:
    return build(painted)


def walk(frames: int = 12) -> MotionClip:
    """Arms and legs swing, the body moves one metre along +Z."""
    phase = np.linspace(0, 2 * np.pi, frames)
    poses = np.zeros((frames, 24, 3), np.float32)
    poses[:, 1, 0], poses[:, 2, 0] = 0.5 * np.sin(phase), -0.5 * np.sin(phase)
    poses[:, 16, 2], poses[:, 17, 2] = -1.2, 1.2
    trans = np.zeros((frames, 3), np.float32)
    trans[:, 1], trans[:, 2] = 0.9, np.linspace(0, 1, frames)
    return MotionClip(poses, trans, 30.0, "Y", "swing")


def test_posing_the_avatar_as_captured_gives_the_captured_surface(painted, avatar: Avatar) -> None:
    error = np.linalg.norm(captured_vertices(avatar) - painted.surface.vertices, axis=1)
    assert np.median(error) < 1e-4
    assert np.percentile(error, 99) < 1e-3
    assert np.abs(avatar.skin_weights.sum(1) - 1).max() < 1e-6
    assert avatar.skin_joints.dtype == np.uint16
    np.testing.assert_allclose(avatar.rest_joints, painted.model.rest(painted.fit.betas)[1], atol=1e-5)


def test_the_avatar_bends_as_its_body_does(painted, avatar: Avatar) -> None:
    """In a pose that was not captured: sitting with bent elbows and fists, against the body model's own posing."""
    pose = np.zeros((52, 3))
    pose[[1, 2], 0], pose[[4, 5], 0] = -1.2, 1.4
    pose[16], pose[18], pose[22:52:3, 2] = (0.2, -0.3, -0.9), (0.0, -1.3, 0.0), -0.8
    body, _ = painted.model.posed(painted.fit.betas, pose, correctives=True)
    plain, _ = painted.model.posed(painted.fit.betas, pose)
    off = np.linalg.norm(pose_avatar(avatar, pose, np.zeros(3)) - body, axis=1)
    assert np.percentile(off, 99) < 1e-3
    assert np.percentile(np.linalg.norm(plain - body, axis=1), 99) > 0.02


def test_confidence_tells_measured_from_seen_from_guessed(painted, avatar: Avatar) -> None:
    """What turns away from the camera is guessed; what faces it is measured with depth, seen without."""
    points = painted.surface.vertices
    away = np.sum(vertex_normals(points, painted.surface.faces) * points, 1) > 0.1 * np.linalg.norm(points, axis=1)
    depth = painted.capture.depth is not None
    away &= painted.surface.seen == 0
    assert away.mean() > 0.3 and (avatar.confidence[away] == GUESSED).all()
    assert (avatar.confidence[avatar.seen > 0.9] == (MEASURED if depth else SEEN)).all()
    rng = np.random.default_rng(0)
    seen, visible = rng.uniform(0, 1, (2, 500))
    np.testing.assert_array_equal(confidence(seen, visible, True) == MEASURED, seen > 0.5)
    np.testing.assert_array_equal(confidence(seen, visible, True) == GUESSED, np.maximum(seen, visible) <= 0.5)
    assert (confidence(seen, visible, False) < MEASURED).all()


def test_the_rest_pose_is_the_body_that_was_captured(painted, avatar: Avatar) -> None:
    rest, _ = painted.model.rest(painted.fit.betas)
    assert np.median(np.linalg.norm(avatar.vertices - rest, axis=1)) < 1e-4


def test_the_picture_comes_back_from_the_texture(painted, avatar: Avatar) -> None:
    view = captured_view(avatar)
    image = render_mesh(TexturedMesh.of(avatar), view.vertices, view.camera, view.camera_from_world)
    photo = painted.capture.color.astype(float)
    solid = (image[..., 3] == 255) & painted.capture.mask
    squared = ((image[..., :3] - photo) ** 2).mean(-1)
    assert 10 * np.log10(255**2 / squared[solid].mean()) > 30
    covered = (image[..., 3] > 127) == painted.capture.mask
    assert covered.mean() > 0.999


def test_no_background_reaches_the_texture(avatar: Avatar) -> None:
    """The painted person stands before green; nothing on it is green but the eyes."""
    texture = decode_png(avatar.textures["albedo.png"]).astype(int)
    assert texture.shape == (2048, 2048, 3)
    green = texture[..., 1] - np.maximum(texture[..., 0], texture[..., 2])
    assert (green > 25).mean() < 0.002
    assert (texture.max(-1) < 16).mean() < 0.001


def test_the_back_wears_the_clothes_without_the_print(painted, avatar: Avatar) -> None:
    view = captured_view(avatar, 180.0)
    image = render_mesh(TexturedMesh.of(avatar), view.vertices, view.camera, view.camera_from_world)
    truth = TexturedMesh.of(replace(avatar, textures={"albedo.png": _png(painted.truth)}))
    expected = render_mesh(truth, view.vertices, view.camera, view.camera_from_world)
    solid = (image[..., 3] == 255) & (expected[..., 3] == 255)
    wrong = np.abs(image[solid][:, :3].astype(int) - expected[solid][:, :3]).max(-1)
    # Shirt, jeans, skin, shoes and hair are where they belong; only the borders between them may differ.
    assert (wrong < 60).mean() > 0.9
    yellow = (image[..., 0] > 200) & (image[..., 1] > 180) & (image[..., 2] < 120) & (image[..., 3] > 0)
    assert not yellow.any()


def test_the_back_of_the_head_is_hair(avatar: Avatar) -> None:
    view = captured_view(avatar, 180.0)
    image = render_mesh(TexturedMesh.of(avatar), view.vertices, view.camera, view.camera_from_world)
    rows = np.nonzero(image[..., 3].any(1))[0]
    head = image[rows[0] + 4 : rows[0] + (rows[-1] - rows[0]) // 16]
    colours = head[head[..., 3] == 255][:, :3].astype(int)
    # The painted hair is (60, 40, 28), the skin (222, 178, 150).
    assert (colours[:, 0] < 140).mean() > 0.8


def test_a_person_seen_from_behind_gets_no_hair_for_a_face(painted_scene: Callable) -> None:
    scene = painted_scene(512, 180.0, True, 1024)
    skinned = unposed(scene.surface, scene.model, scene.fit)
    body = rest_body(skinned, scene.surface, scene.model, scene.fit)
    baked = bake(scene.capture, scene.surface.vertices, scene.surface.corner_uvs, body, size=1024)
    mesh = TexturedMesh(scene.model.faces, scene.model.corner_uvs, MipTexture(baked.image))
    around = orbit(scene.fit.translation + skinned.rest_joints[0], 180.0)
    front = render_mesh(mesh, scene.surface.vertices, scene.capture.camera, around)
    rows = np.nonzero(front[..., 3].any(1))[0]
    head = front[rows[0] : rows[0] + (rows[-1] - rows[0]) // 8]
    middle = head[len(head) // 2 :][..., :3][head[len(head) // 2 :][..., 3] == 255]
    assert np.median(middle[:, 0]) > 150


def _png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def test_the_folder_survives_writing_and_reading(avatar: Avatar, tmp_path: Path) -> None:
    write_avatar(tmp_path / "painted.avatar", avatar)
    again = read_avatar(tmp_path / "painted.avatar", verify=True)
    assert (again.vertices == avatar.vertices).all()
    for name in ("vertices", "joints", "directions"):
        np.testing.assert_array_equal(getattr(again.correctives, name), getattr(avatar.correctives, name))
    pose = np.random.default_rng(0).normal(0, 0.3, avatar.capture.pose.shape)
    np.testing.assert_allclose(*(pose_avatar(a, pose, np.zeros(3)) for a in (again, avatar)), atol=2e-6)
    for side in ("front", "back", "left", "right"):
        with Image.open(tmp_path / "painted.avatar" / "previews" / f"{side}.png") as picture:
            assert (np.asarray(picture)[..., 3] > 0).mean() > 0.05
    for number in (v for v in avatar.quality.values() if not isinstance(v, dict)):
        assert np.isfinite(number)
    assert avatar.provenance["seed"] == 3
    assert "/" not in json.dumps(avatar.provenance)


def test_the_captured_surface_file_is_read_by_trimesh(painted, avatar: Avatar) -> None:
    mesh = trimesh.load(io.BytesIO(avatar.extra["capture_surface.ply"]), file_type="ply", process=False)
    np.testing.assert_allclose(mesh.vertices, painted.surface.vertices, atol=1e-6)
    assert (mesh.faces == painted.surface.faces).all()
    assert mesh.visual.vertex_colors.shape == (len(mesh.vertices), 4)
    assert b"property float nx" in avatar.extra["capture_surface.ply"][:1000]


def test_cancelling_stops_the_build(painted) -> None:
    def report(fraction: float, message: str = "") -> None:
        if fraction > 0.1:
            raise LikenessError("job.cancelled", "stop")

    with pytest.raises(LikenessError, match="stop"):
        build_avatar(
            painted.surface, painted.capture, painted.model, painted.fit,
            name="x", method="draped", settings={}, report=report,
        )  # fmt: skip


def test_an_unknown_method_is_refused(painted) -> None:
    with pytest.raises(LikenessError, match="no method magic"):
        build_avatar(
            painted.surface, painted.capture, painted.model, painted.fit, name="x", method="magic", settings={}
        )


def test_a_body_outside_the_picture_is_refused(painted) -> None:
    aside = replace(painted.surface, vertices=painted.surface.vertices + np.float32([9, 0, 0]))
    with pytest.raises(LikenessError, match="does not lie on the person"):
        build(replace(painted, surface=aside))


# ---- GLB


def glb_parts(data: bytes) -> tuple[dict, bytes]:
    assert struct.unpack("<4sII", data[:12]) == (b"glTF", 2, len(data))
    length = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def accessor(document: dict, blob: bytes, index: int) -> np.ndarray:
    entry = document["accessors"][index]
    view = document["bufferViews"][entry["bufferView"]]
    kind = {5126: np.float32, 5123: np.uint16, 5125: np.uint32}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
    values = np.frombuffer(blob, kind, entry["count"] * width, view.get("byteOffset", 0) + entry.get("byteOffset", 0))
    return values.reshape(entry["count"], width)


def quaternion_matrix(q: np.ndarray) -> np.ndarray:
    x, y, z, w = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def evaluate(document: dict, blob: bytes, frame: int) -> np.ndarray:
    """glTF 2.0, section 3.7.3.3, read literally: joint matrix = global transform of the joint x inverse bind matrix."""
    nodes = document["nodes"]
    local = []
    for node in nodes:
        matrix = np.eye(4)
        matrix[:3, 3] = node.get("translation", (0, 0, 0))
        local.append(matrix)
    animation = document["animations"][0]
    for channel in animation["channels"]:
        values = accessor(document, blob, animation["samplers"][channel["sampler"]]["output"])[frame].astype(float)
        matrix = local[channel["target"]["node"]]
        if channel["target"]["path"] == "rotation":
            matrix[:3, :3] = quaternion_matrix(values)
        else:
            matrix[:3, 3] = values
    world: dict[int, np.ndarray] = {}

    def visit(index: int, above: np.ndarray) -> None:
        world[index] = above @ local[index]
        for child in nodes[index].get("children", []):
            visit(child, world[index])

    for root in document["scenes"][0]["nodes"]:
        visit(root, np.eye(4))
    skin = document["skins"][0]
    inverse = accessor(document, blob, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = np.stack([world[j] @ inverse[k] for k, j in enumerate(skin["joints"])])
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    position, joints, weights = (
        accessor(document, blob, attributes[k]).astype(float) for k in ("POSITION", "JOINTS_0", "WEIGHTS_0")
    )
    blended = np.einsum("vk,vkab->vab", weights, matrices[joints.astype(int)])
    return np.einsum("vab,vb->va", blended[:, :3, :3], position) + blended[:, :3, 3]


def test_gltf_skinning_equals_ours(avatar: Avatar) -> None:
    clip = walk()
    document, blob = glb_parts(write_glb(avatar, clip))
    source, _, _ = split_corners(avatar.faces, avatar.corner_uvs)
    placed = on_floor(avatar, clip)
    # glTF knows no pose correctives that joints drive.
    plain = replace(avatar, correctives=None)
    for frame in (0, 4, 11):
        expected = pose_avatar(plain, placed.poses[frame], placed.trans[frame])[source]
        np.testing.assert_allclose(evaluate(document, blob, frame), expected, atol=1e-5)
    names = [document["nodes"][j]["name"] for j in document["skins"][0]["joints"]]
    assert names == list(avatar.joint_names)
    material = document["materials"][0]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0
    assert material.get("roughnessFactor", 1) == 1


def test_trimesh_loads_the_glb(avatar: Avatar) -> None:
    loaded = trimesh.load(io.BytesIO(write_glb(avatar, walk())), file_type="glb", process=False)
    mesh = next(iter(loaded.geometry.values()))
    source, uvs, faces = split_corners(avatar.faces, avatar.corner_uvs)
    np.testing.assert_allclose(mesh.vertices, avatar.vertices[source], atol=1e-6)
    assert (mesh.faces == faces).all()
    # trimesh turns glTF's v back to V up.
    np.testing.assert_allclose(mesh.visual.uv, uvs, atol=1e-6)
    assert mesh.visual.material.baseColorTexture.size == (2048, 2048)


def test_khronos_validator_finds_nothing(avatar: Avatar, tmp_path: Path) -> None:
    modules = os.environ.get("LIKENESS_GLTF_VALIDATOR") or str(
        Path(__file__).resolve().parents[2] / "build" / "node" / "node_modules"
    )
    node = shutil.which("node")
    if node is None or not (Path(modules) / "gltf-validator").is_dir():
        pytest.skip("the Khronos validator was not run: it needs Node and npm's gltf-validator (see docs)")
    for name, data in (("clip.glb", write_glb(avatar, walk())), ("still.glb", write_glb(avatar))):
        path = tmp_path / name
        path.write_bytes(data)
        done = subprocess.run(
            [node, "-e", VALIDATOR_SCRIPT, modules, str(path)], capture_output=True, text=True, check=True, timeout=60
        )
        issues = json.loads(done.stdout)
        assert issues["numErrors"] == 0, issues["messages"]
        assert issues["numWarnings"] == 0, issues["messages"]


# ---- Views


def test_orbit_moves_the_camera_to_its_own_right(avatar: Avatar) -> None:
    """The captured person faces the camera, so its left arm is on the camera's right and comes nearer at +90."""
    pelvis = fitted_pelvis(avatar)
    turned = orbit(pelvis, 90.0)
    camera_place = -turned[:3, :3].T @ turned[:3, 3]
    assert camera_place[0] > pelvis[0] + 1
    np.testing.assert_allclose(camera_place[1], 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm((camera_place - pelvis)[[0, 2]]), np.linalg.norm(pelvis[[0, 2]]))
    np.testing.assert_allclose(turned[:3, :3] @ pelvis + turned[:3, 3], pelvis, atol=1e-9)
    view = captured_view(avatar, 90.0)
    local = view.vertices @ view.camera_from_world[:3, :3].T + view.camera_from_world[:3, 3]
    names = list(avatar.joint_names)
    left = avatar.skin_joints[:, 0] == names.index("left_middle1")
    right = avatar.skin_joints[:, 0] == names.index("right_middle1")
    assert local[left, 2].mean() < local[right, 2].mean() - 0.2


def test_as_captured_covers_the_captures_outline(painted, avatar: Avatar) -> None:
    view = captured_view(avatar)
    assert view.camera == painted.capture.camera
    image = render_mesh(TexturedMesh.of(avatar), view.vertices, view.camera, view.camera_from_world)
    drawn = image[..., 3] > 127
    assert (drawn & painted.capture.mask).sum() / (drawn | painted.capture.mask).sum() > 0.99


def test_a_resized_view_shows_the_whole_picture() -> None:
    camera = Camera(500.0, 510.0, 300.0, 220.0, 640, 480)
    square = resized(camera, (1024, 1024))
    corner = np.array([[(-0.5 - 300) / 500, (-0.5 - 220) / 510, 1.0], [(639.5 - 300) / 500, (479.5 - 220) / 510, 1.0]])
    np.testing.assert_allclose(square.project(corner), [[-0.5, 127.5], [1023.5, 895.5]], atol=1e-9)
    assert resized(camera, (320, 240)) == camera.scaled(320, 240)


def test_a_camera_file_moves_the_view(avatar: Avatar, tmp_path: Path) -> None:
    turned = orbit(fitted_pelvis(avatar), 30.0)
    data = {**Camera(700, 700, 255.5, 255.5, 512, 512).to_dict(), "camera_from_capture": turned.tolist()}
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(data))
    view = camera_view(avatar, path)
    np.testing.assert_allclose(view.camera_from_world, turned)
    assert view.camera.width == 512
    for broken in (
        {**data, "camera_from_capture": [1, 2]},
        {"fx": 1},
        {**data, "camera_from_capture": [[2.0] * 4] * 4},
    ):
        path.write_text(json.dumps(broken))
        with pytest.raises(LikenessError, match="camera"):
            camera_view(avatar, path)


@pytest.mark.parametrize("azimuth", [0.0, 0.7, 2.5, -1.6])
@pytest.mark.parametrize("size", [(640, 480), (300, 900)])
def test_the_framing_camera_holds_everything_tightly(azimuth: float, size: tuple[int, int]) -> None:
    points = np.random.default_rng(7).normal(size=(200, 3)) * [1.5, 0.8, 0.4] + [3, 1, -2]
    camera, camera_from_world = framing_camera(points, size, azimuth)
    local = points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    assert (local[:, 2] > 0).all()
    pixels = camera.project(local)
    assert (pixels >= 0).all()
    assert (pixels < size).all()
    share = (pixels.max(0) - pixels.min(0)) / size
    assert share.max() > 0.85
    centre = -camera_from_world[:3, :3].T @ camera_from_world[:3, 3]
    back = np.array([np.sin(azimuth), 0, np.cos(azimuth)])
    np.testing.assert_allclose(camera_from_world[2, :3], -back, atol=1e-12)
    assert centre @ back > (points @ back).max()


def test_a_clip_stands_on_the_floor_and_stays_in_the_picture(avatar: Avatar, tmp_path: Path) -> None:
    clip = walk()
    views = list(clip_views(avatar, clip, [0, 6, 11], (320, 240)))
    assert len(views) == 3
    assert all((v.camera_from_world == views[0].camera_from_world).all() for v in views)
    low = min(v.vertices[:, 1].min() for v in clip_views(avatar, clip, None, (320, 240)))
    assert abs(low) < 0.01
    paths = render_views(avatar, views, tmp_path, count=3)
    assert [p.name for p in paths] == ["0000.png", "0001.png", "0002.png"]
    for path in paths:
        with Image.open(path) as picture:
            alpha = np.asarray(picture)[..., 3]
        assert picture.size == (320, 240)
        assert alpha.any()
        assert not alpha[[0, -1]].any()
        assert not alpha[:, [0, -1]].any()
    with pytest.raises(LikenessError, match="0 to 11"):
        next(clip_views(avatar, clip, [12]))


def test_z_up_clips_stand_upright(avatar: Avatar) -> None:
    clip = walk()
    # SMPL turns the root about the rest pelvis, so a Z-up copy needs it in its translation.
    turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pelvis = avatar.rest_joints[0].astype(float)
    poses = clip.poses.copy()
    poses[:, 0] = (np.pi / 2, 0, 0)
    trans = ((clip.trans + pelvis) @ turn.T - pelvis).astype(np.float32)
    other = on_floor(avatar, MotionClip(poses, trans, 30.0, "Z", "swing"))
    own = on_floor(avatar, clip)
    for frame in (0, 7):
        np.testing.assert_allclose(
            pose_avatar(avatar, other.poses[frame], other.trans[frame]),
            pose_avatar(avatar, own.poses[frame], own.trans[frame]),
            atol=1e-4,
        )


def test_world_from_capture_stands_the_person_on_the_floor(painted, avatar: Avatar) -> None:
    world = world_from_capture(painted.capture, painted.model, painted.fit, painted.surface.vertices)
    moved = painted.surface.vertices @ world[:3, :3].T + world[:3, 3]
    assert abs(moved[:, 1].min()) < 1e-5
    head = moved[avatar.skin_joints[:, 0] == list(avatar.joint_names).index("head")]
    assert head[:, 1].min() > 1.2
    np.testing.assert_allclose(np.linalg.det(world[:3, :3]), 1)
    assert (RayScene(moved, avatar.faces).first_hits(np.array([0, 1.0, 5.0]), np.array([[0, 0, -1.0]])).face >= 0).all()
