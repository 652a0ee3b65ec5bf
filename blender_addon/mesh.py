# SPDX-License-Identifier: GPL-3.0-or-later
"""The avatar's surface as a Blender mesh: vertices, UVs, vertex groups, attributes, material."""

from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np

from .coordinates import to_blender
from .core.avatar import CONFIDENCE_NAMES, Avatar

UV_LAYER = "UVMap"
#: Point attribute: 1 measured by the depth sensor, 0.5 seen in the picture alone, 0 guessed.
CONFIDENCE = "likeness_confidence"
#: Clothes and skin in baked light: rough, and with less reflection than the node's default.
ROUGHNESS, SPECULAR = 0.8, 0.2


def build_mesh(name: str, avatar: Avatar) -> bpy.types.Mesh:
    """Make the mesh data: rest-pose vertices in Blender's axes, UV map, and what is known of each vertex as point
    attributes: `seen`, `body_part`, CONFIDENCE."""
    mesh = bpy.data.meshes.new(name)
    faces = np.ascontiguousarray(avatar.faces, np.int32)
    vertices = to_blender(np.asarray(avatar.vertices, np.float32))
    mesh.vertices.add(len(vertices))
    mesh.vertices.foreach_set("co", vertices.ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    layer = mesh.uv_layers.new(name=UV_LAYER)
    layer.uv.foreach_set("vector", np.ascontiguousarray(avatar.corner_uvs, np.float32).ravel())
    seen = mesh.attributes.new("seen", "FLOAT", "POINT")
    seen.data.foreach_set("value", np.ascontiguousarray(avatar.seen, np.float32))
    known = mesh.attributes.new(CONFIDENCE, "FLOAT", "POINT")
    known.data.foreach_set("value", confidence(avatar))
    part = mesh.attributes.new("body_part", "INT", "POINT")
    part.data.foreach_set("value", np.ascontiguousarray(avatar.body_part, np.int32))
    mesh.update(calc_edges=True)
    if len(mesh.vertices) != len(vertices) or len(mesh.polygons) != len(faces):
        raise ValueError("Blender did not take over the whole mesh")
    return mesh


def confidence(avatar: Avatar) -> np.ndarray:
    """(V,) f32: the attribute CONFIDENCE. Avatars of earlier versions tell seen from guessed alone."""
    if avatar.confidence is None:
        return np.rint(np.clip(avatar.seen, 0, 1)).astype(np.float32)
    return avatar.confidence.astype(np.float32) / (len(CONFIDENCE_NAMES) - 1)


def add_vertex_groups(body: bpy.types.Object, names: Sequence[str], joints: np.ndarray, weights: np.ndarray) -> None:
    """One vertex group a joint, with the weights of the avatar. joints, weights: (V, K)."""
    groups = [body.vertex_groups.new(name=name) for name in names]
    for vertex, slot in zip(*np.nonzero(weights > 0), strict=True):
        # 'ADD' rather than 'REPLACE': a joint that fills two of the K slots has the sum of both.
        groups[joints[vertex, slot]].add([int(vertex)], float(weights[vertex, slot]), "ADD")


def build_material(name: str, albedo: Path | None) -> bpy.types.Material:
    """A Principled material with the baked colour, which stays a file in the avatar folder."""
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # from Blender 5.0 on it is always there
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = ROUGHNESS
    shader.inputs["Specular IOR Level"].default_value = SPECULAR
    if albedo is None:
        return material
    image = bpy.data.images.load(str(albedo))
    image.name = f"{name} Colour"
    image.colorspace_settings.name = "sRGB"
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    texture.location = shader.location[0] - 320, shader.location[1]
    links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    # Workbench and the Solid view's texture mode draw the active image node.
    nodes.active = texture
    return material
