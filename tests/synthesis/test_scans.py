"""Scans in every layout, with trimesh as the other reader and writer, and files that mean harm."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import igl
import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from likeness.core.camera import Camera
from likeness.core.errors import LikenessError
from likeness.synthesis.meshfiles import read_mesh
from likeness.synthesis.outer import outer_surface
from likeness.synthesis.picture import render
from likeness.synthesis.places import place_of
from likeness.synthesis.scans import find_pairs, find_scans, read_pair, read_scan, scan_layer, split_of
from likeness.synthesis.scene import Scene
from likeness.synthesis.view import look_at
from PIL import Image
from scipy.spatial.transform import Rotation

RED, BLUE = (200, 30, 20), (20, 40, 210)


@pytest.fixture(scope="module")
def figure() -> trimesh.Trimesh:
    """A capsule 1.8 m tall, wider to its left, on its feet; UVs of its upper half lie in the left of the picture."""
    mesh = trimesh.creation.capsule(1.4, 0.2, count=(12, 12))
    mesh.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, (1, 0, 0)))
    mesh.vertices[:, 0] *= np.where(mesh.vertices[:, 0] > 0, 1.5, 1.0)
    mesh.vertices[:, 1] -= mesh.vertices[:, 1].min()
    uv = np.stack([np.where(mesh.vertices[:, 1] > 0.9, 0.25, 0.75), mesh.vertices[:, 1] / 1.8], axis=1)
    picture = Image.fromarray(two_colors())
    mesh.visual = trimesh.visual.TextureVisuals(uv, trimesh.visual.material.PBRMaterial(baseColorTexture=picture))
    return mesh


def two_colors() -> np.ndarray:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = RED, BLUE
    return picture


def write_obj(path: Path, mesh: trimesh.Trimesh, scale: float = 1.0, library: str = "", turn: np.ndarray | None = None):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"mtllib {library}", "usemtl skin"] if library else []
    placed = mesh.vertices * scale @ (np.eye(3) if turn is None else turn).T
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in placed]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.visual.uv]
    lines += ["f " + " ".join(f"{k + 1}/{k + 1}" for k in face) for face in mesh.faces]
    path.write_text("\n".join(lines) + "\n")


def write_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(two_colors()).save(path)


def standing_right(scan, figure) -> None:
    """Same size and shape as the figure, on the floor, coloured where the figure is."""
    np.testing.assert_allclose(np.sort(scan.vertices[:, 1]), np.sort(figure.vertices[:, 1]), atol=2e-3)
    middle = figure.bounds.mean(0) * (1, 0, 1)
    np.testing.assert_allclose(
        scan.vertices[scan.faces].mean(1), (figure.vertices - middle)[figure.faces].mean(1), atol=2e-3
    )
    high = scan.vertices[scan.faces][..., 1].min(1) > 0.95
    column = (scan.corner_uvs[..., 0].mean(1) * scan.color.shape[1]).astype(int)
    row = ((1 - scan.corner_uvs[..., 1].mean(1)) * scan.color.shape[0]).astype(int).clip(0, scan.color.shape[0] - 1)
    seen = scan.color[row, column].astype(int)
    assert np.abs(seen[high] - RED).max() < 25
    assert np.abs(seen[scan.vertices[scan.faces][..., 1].max(1) < 0.85] - BLUE).max() < 25


def lay_out(folder: Path, layout: str, figure: trimesh.Trimesh) -> tuple[str, str]:
    """Write one scan in a layout; its name and person."""
    if layout == "thuman":
        write_obj(folder / "0012" / "0012.obj", figure, library="material0.mtl")
        (folder / "0012" / "material0.mtl").write_text("newmtl skin\nmap_Kd material0.jpeg\n")
        write_picture(folder / "0012" / "material0.jpeg")
        return "0012", "0012"
    if layout == "renderpeople":
        home = folder / "rp_ada_posed_003_OBJ"
        coarse = trimesh.creation.box((40, 180, 40))
        coarse.visual = trimesh.visual.TextureVisuals(np.zeros((8, 2)))
        write_obj(home / "rp_ada_posed_003_30k.obj", coarse)
        write_obj(home / "rp_ada_posed_003_100k.obj", figure, 100, "rp_ada_posed_003.mtl")
        (home / "rp_ada_posed_003.mtl").write_text("newmtl skin\nmap_Kd C:\\\\shop\\\\rp_ada_posed_003_dif_8k.jpg\n")
        write_picture(home / "tex" / "rp_ada_posed_003_dif_2k.jpg")
        return "rp_ada_posed_003", "rp_ada"
    if layout == "customhumans":
        home = folder / "mesh" / "0007_01_02"
        write_obj(home / "mesh-f00031.obj", figure)
        write_picture(home / "mesh-f00031.png")
        return "0007_01_02/mesh-f00031", "0007"
    if layout == "plain obj, Z up":
        write_obj(folder / "eve.obj", figure, 1000, turn=np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]))
        write_picture(folder / "eve.jpg")
        return "eve", "eve"
    figure.export(folder / "bob.glb")
    return "bob", "bob"


@pytest.mark.parametrize("layout", ["thuman", "renderpeople", "customhumans", "plain obj, Z up", "plain glb"])
def test_every_layout_stands_on_the_floor_in_metres(tmp_path, figure, layout):
    name, person = lay_out(tmp_path, layout, figure)
    (file,) = find_scans(tmp_path)
    assert (file.name, file.person) == (name, person)
    assert layout.startswith(file.layout)
    scan = read_scan(file)
    standing_right(scan, figure)
    moved = (np.c_[read_mesh(file.path).vertices, np.ones(len(scan.vertices))] @ scan.world_from_file.T)[:, :3]
    np.testing.assert_allclose(moved, scan.vertices, atol=1e-4)


def test_people_json_says_who_is_who(tmp_path, figure):
    for name in ("0001", "0002"):
        write_obj(tmp_path / name / f"{name}.obj", figure)
    (tmp_path / "people.json").write_text('{"0002": "0001"}')
    assert [(file.name, file.person) for file in find_scans(tmp_path)] == [("0001", "0001"), ("0002", "0001")]


def test_scanned_people_are_split_in_known_shares():
    parts = [split_of(f"person {number}") for number in range(2000)]
    shares = [parts.count(which) / 2000 for which in ("train", "val", "test")]
    np.testing.assert_allclose(shares, (0.7, 0.1, 0.2), atol=0.04)


def test_a_scan_is_a_posed_person(tmp_path, figure):
    figure.export(tmp_path / "bob.glb")
    posed = scan_layer(read_scan(find_scans(tmp_path)[0]))
    (layer,) = posed.layers
    assert layer.kind == "cloth" and not layer.part.any() and not posed.dressed.betas.any()
    np.testing.assert_array_equal(layer.skin_weights.sum(1), 1)
    assert trimesh.Trimesh(layer.vertices, layer.faces).volume == pytest.approx(figure.volume, rel=1e-3)


def test_glb_nodes_turn_and_scale_as_trimesh_has_them(tmp_path, figure):
    scene = trimesh.Scene()
    turn = trimesh.transformations.rotation_matrix(0.7, (0.2, 1, -0.4), (0.1, 0.2, 0.3))
    scene.add_geometry(figure, node_name="outer", geom_name="one", transform=turn)
    box = trimesh.creation.box((0.4, 0.3, 0.2))
    blue = trimesh.visual.material.PBRMaterial(baseColorFactor=(20, 40, 210, 255))
    box.visual = trimesh.visual.TextureVisuals(np.zeros((8, 2)), blue)
    scene.add_geometry(box, node_name="inner", parent_node_name="outer", transform=np.diag((2.0, 1, 1, 1)))
    (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
    mesh = read_mesh(tmp_path / "two.glb")
    other = trimesh.load(tmp_path / "two.glb", force="mesh", process=False)
    ours = np.sort(mesh.vertices[mesh.faces].mean(1), axis=0)
    np.testing.assert_allclose(ours, np.sort(np.asarray(other.triangles_center), axis=0), atol=1e-5)
    assert mesh.color.shape[1] == 2 * mesh.color.shape[0], "both materials side by side"
    assert mesh.corner_uvs.min() >= 0 and mesh.corner_uvs.max() <= 1


def test_obj_polygons_and_materials(tmp_path):
    Image.new("RGB", (8, 8), RED).save(tmp_path / "a.png")
    Image.new("RGB", (16, 8), BLUE).save(tmp_path / "b.png")
    (tmp_path / "q.mtl").write_text("newmtl a\nmap_Kd -s 1 1 1 a.png\nnewmtl b\nMap_Kd b.png\n")
    (tmp_path / "q.obj").write_text(
        "mtllib q.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0 0.5 0.5 0.5\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
        .replace(" 0.5 0.5 0.5", "")
        + "usemtl a\nf 1/1 2/2 3/3 4/4\nusemtl b\nf 4/4/1 3/3/1 1/1/1\n"
    )  # fmt: skip
    mesh = read_mesh(tmp_path / "q.obj")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 2, 0]]
    left, right = mesh.color[:, : mesh.color.shape[1] // 2], mesh.color[:, mesh.color.shape[1] // 2 :]
    assert (left == RED).all() and (right == BLUE).all()
    assert mesh.corner_uvs[:2, :, 0].max() == 0.5 and mesh.corner_uvs[2, :, 0].min() == 0.5


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "..\\secret.png", "sub/../../secret.png", "\0"])
def test_no_texture_from_outside_the_folder(tmp_path, figure, name):
    Image.new("RGB", (8, 8), RED).save(tmp_path / "secret.png")
    home = tmp_path / "scans"
    write_obj(home / "a.obj", figure, library="a.mtl")
    full = str(tmp_path / "secret.png") if name.startswith("/") else name
    (home / "a.mtl").write_text(f"newmtl skin\nmap_Kd {full}\n")
    mesh = read_mesh(home / "a.obj")
    assert mesh.color.shape == (1, 1, 3)
    write_obj(home / "b.obj", figure, library="../outside.mtl")
    (tmp_path / "outside.mtl").write_text("newmtl skin\nmap_Kd secret.png\n")
    assert read_mesh(home / "b.obj").color.shape == (1, 1, 3)


@pytest.mark.parametrize(
    "text",
    ["", "v 0 0 0\nf 1 2 3\n", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -1 -2 -3\n", "v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
     "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/9 2/9 3/9\n",
     "f 1/a 2 3\nv 1 2 3\n"],
)  # fmt: skip
def test_broken_objs_are_refused(tmp_path, text):
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(LikenessError, match=r"a\.obj"):
        read_mesh(tmp_path / "a.obj")


@given(st.integers(0, 10**9), st.integers(0, 255), st.booleans())
def test_damaged_glbs_are_refused_or_read(tmp_path_factory, at, value, cut):
    """Whatever byte is changed or cut off: a mesh or a LikenessError, nothing else."""
    folder = tmp_path_factory.mktemp("glb")
    data = bytearray(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]).export(file_type="glb"))
    data[at % len(data)] = value
    (folder / "a.glb").write_bytes(bytes(data[: at % len(data)] if cut else data))
    try:
        assert len(read_mesh(folder / "a.glb").faces) == 1
    except LikenessError as error:
        assert error.code == "input.scan"


def glb(document: dict, binary: bytes = b"\0" * 36) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


@pytest.mark.parametrize(
    "harm",
    [
        {"bufferViews": [{"buffer": 0, "byteOffset": -36, "byteLength": 36}]},
        {"bufferViews": [{"buffer": 0, "byteLength": 3600}]},
        {"buffers": [{"byteLength": 36, "uri": "../../secret.bin"}]},
        {"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**15, "type": "VEC3"}]},
        {"nodes": [{"mesh": 0, "children": [0]}]},
        {"meshes": [{"primitives": [{"attributes": {"POSITION": 7}}]}]},
    ],
)
def test_glbs_that_point_outside_themselves_are_refused(tmp_path, harm):
    document = {
        "asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}], "buffers": [{"byteLength": 36}],
    }  # fmt: skip
    (tmp_path / "a.glb").write_bytes(glb(document))
    assert len(read_mesh(tmp_path / "a.glb").faces) == 1
    (tmp_path / "a.glb").write_bytes(glb(document | harm))
    with pytest.raises(LikenessError):
        read_mesh(tmp_path / "a.glb")


def test_what_is_no_persons_size_is_refused(tmp_path, figure):
    write_obj(tmp_path / "house.obj", figure, 5)
    with pytest.raises(LikenessError, match="no unit"):
        read_scan(find_scans(tmp_path)[0])


def write_pair(folder: Path, figure: trimesh.Trimesh, seen: np.ndarray, lens: dict) -> None:
    """A scan whose vertices `seen` lie in the camera's frame, with the depth of its vertices drawn as points."""
    moved = figure.copy()
    moved.vertices = seen
    write_obj(folder / "scan.obj", moved)
    write_picture(folder / "scan.png")
    depth = np.zeros((240, 180), np.uint16)
    column = np.rint(seen[:, 0] / seen[:, 2] * lens["fx"] + lens["cx"]).astype(int)
    row = np.rint(seen[:, 1] / seen[:, 2] * lens["fy"] + lens["cy"]).astype(int)
    depth[row, column] = np.rint(seen[:, 2] * 1000)
    Image.fromarray(depth).save(folder / "depth.png")
    Image.new("RGB", (180, 240), BLUE).save(folder / "color.jpg")
    (folder / "intrinsics.json").write_text(json.dumps(lens))


def seen_through(pair) -> np.ndarray:
    """Depth errors (V,) in metres at the pixels of the scan's vertices."""
    places = pair.view.to_camera(pair.scan.vertices)
    pixel = np.rint(pair.view.camera.project(places)).astype(int)
    return np.abs(pair.depth[pixel[:, 1], pixel[:, 0]] - places[:, 2])


@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_a_pair_in_the_cameras_frame(tmp_path, figure, tilt):
    facing = np.diag([1.0, -1, -1])
    turn = Rotation.from_euler("x", -tilt, degrees=True).as_matrix() @ facing
    seen = (figure.vertices - (0, 0.9, 0)) @ turn.T + (0.1, 0.05, 2.5)
    lens = {"fx": 200.0, "fy": 200.0, "cx": 89.5, "cy": 119.5, "up": (turn @ (0, 1, 0)).tolist()}
    write_pair(tmp_path / "one", figure, seen, lens)
    assert find_pairs(tmp_path) == [tmp_path / "one"]
    pair = read_pair(tmp_path / "one")
    assert np.median(seen_through(pair)) < 1.5e-3
    middle = figure.bounds.mean(0) * (1, 0, 1)
    np.testing.assert_allclose(pair.scan.vertices, figure.vertices - middle, atol=2e-3)
    assert pair.view.eye[2] > 2


def test_a_pair_with_a_known_camera(tmp_path, figure):
    turn = Rotation.from_euler("xyz", [170, 20, 4], degrees=True).as_matrix()
    camera_from_scan = np.eye(4)
    camera_from_scan[:3, :3], camera_from_scan[:3, 3] = turn, -turn @ (0, 0.9, 0) + (0, 0, 2.7)
    seen = figure.vertices @ turn.T + camera_from_scan[:3, 3]
    write_pair(tmp_path, figure, seen, {"fx": 180.0, "fy": 180.0, "cx": 90.0, "cy": 120.0})
    write_obj(tmp_path / "scan.obj", figure, 100)
    (tmp_path / "camera_from_scan.json").write_text(json.dumps({"matrix": camera_from_scan.tolist()}))
    assert np.median(seen_through(read_pair(tmp_path))) < 1.5e-3


@pytest.mark.parametrize(
    ("file", "content"),
    [("intrinsics.json", "{}"), ("intrinsics.json", "["), ("depth.png", "no picture"), ("color.jpg", "no picture"),
     ("camera_from_scan.json", '{"matrix": [[2,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}'), ("mask.png", "no picture"),
     ("intrinsics.json", '{"fx": 9, "fy": 9, "cx": 1, "cy": 1, "up": "x"}')],
)  # fmt: skip
def test_broken_pairs_are_refused(tmp_path, figure, file, content):
    seen = figure.vertices * (1, -1, -1) + (0, 0.9, 2.5)
    write_pair(tmp_path, figure, seen, {"fx": 180.0, "fy": 180.0, "cx": 90.0, "cy": 120.0})
    read_pair(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(LikenessError):
        read_pair(tmp_path)


def test_a_scan_can_be_rendered_and_measured(tmp_path, figure):
    """The renderer's mask against cast rays, and the signed distance against libigl's."""
    figure.export(tmp_path / "bob.glb")
    posed = scan_layer(read_scan(find_scans(tmp_path)[0]))
    scene = Scene(posed, "cpu")
    view = look_at(Camera(90.0, 90.0, 31.5, 47.5, 64, 96), np.array([0.5, 1.2, 2.2]), np.array([0, 0.9, 0]))
    mask = render(scene, view, place_of("gradient", 1)).mask.numpy()
    rays = view.camera.rays().reshape(-1, 3) @ view.camera_from_world[:3, :3]
    (layer,) = posed.layers
    solid = trimesh.Trimesh(layer.vertices, layer.faces)
    hit = solid.ray.intersects_any(np.tile(view.eye, (len(rays), 1)), rays).reshape(mask.shape)
    assert (mask != hit).mean() < 0.005 < hit.mean()
    points = np.random.default_rng(0).uniform((-0.4, 0.1, -0.4), (0.4, 1.7, 0.4), (400, 3)).astype(np.float32)
    ours = outer_surface(posed, scene, voxel_m=0.02).nearest(points).distance
    theirs = igl.signed_distance(points.astype(float), np.asarray(solid.vertices), np.asarray(solid.faces))[0]
    np.testing.assert_allclose(ours, theirs, atol=5e-3)
