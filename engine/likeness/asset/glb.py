"""A skinned, textured glTF 2.0 binary (GLB) of an avatar, with one clip."""

from __future__ import annotations

import numpy as np
import pygltflib as gltf

from ..core.avatar import Avatar
from ..core.frames import quaternion, rodrigues
from ..core.motion import MotionClip
from .geometry import vertex_normals
from .views import on_floor

_FLOAT, _SHORT, _INT = gltf.FLOAT, gltf.UNSIGNED_SHORT, gltf.UNSIGNED_INT
_TYPE_OF_WIDTH = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


def write_glb(avatar: Avatar, clip: MotionClip | None = None) -> bytes:
    """The avatar as GLB bytes: metres, Y up, facing +Z, joints named as in the avatar.

    The mesh stands in the rest pose; `clip` becomes its only animation.
    """
    builder = _Builder()
    joints = len(avatar.joint_names)
    mesh = builder.mesh(avatar)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (joints, 1, 1))
    inverse_bind[:, :3, 3] = -avatar.rest_joints
    document = builder.document
    document.skins = [
        gltf.Skin(
            name=f"{avatar.name} skeleton",
            joints=list(range(1, joints + 1)),
            # glTF stores matrices by columns.
            inverseBindMatrices=builder.accessor(inverse_bind.transpose(0, 2, 1).reshape(joints, 16), _FLOAT),
            skeleton=1,
        )
    ]
    document.meshes = [mesh]
    document.nodes = [gltf.Node(name=avatar.name, mesh=0, skin=0), *_joint_nodes(avatar)]
    document.scenes = [gltf.Scene(name=avatar.name, nodes=[0, 1])]
    if clip is not None:
        document.animations = [builder.animation(avatar, clip)]
    return builder.finish()


def _joint_nodes(avatar: Avatar) -> list[gltf.Node]:
    """Joint j is node j + 1: node 0 holds the mesh."""
    nodes = []
    for joint, name in enumerate(avatar.joint_names):
        parent = int(avatar.parents[joint])
        place = avatar.rest_joints[joint] - (avatar.rest_joints[parent] if parent >= 0 else 0)
        children = [child + 1 for child in range(len(avatar.parents)) if int(avatar.parents[child]) == joint]
        nodes.append(gltf.Node(name=name, translation=[float(x) for x in place], children=children))
    return nodes


def split_corners(faces: np.ndarray, corner_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex for each different pair of vertex and texture coordinate.

    Returns source (N,) index of the old vertex, uvs (N, 2) f32, faces (F, 3) u32 into the N vertices.
    """
    uvs = corner_uvs.reshape(-1, 2).astype(np.float32)
    key = np.zeros(len(uvs), [("vertex", np.int64), ("u", np.float32), ("v", np.float32)])
    key["vertex"], key["u"], key["v"] = faces.ravel(), uvs[:, 0], uvs[:, 1]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return faces.ravel()[first], uvs[first], inverse.reshape(-1, 3).astype(np.uint32)


class _Builder:
    """Collects accessors over one binary buffer."""

    def __init__(self) -> None:
        self.document = gltf.GLTF2(asset=gltf.Asset(version="2.0", generator="Likeness"), scene=0)
        self._blob = bytearray()

    def view(self, data: bytes, target: int | None = None) -> int:
        """Append bytes on a 4-byte border; returns the buffer view's index."""
        self._blob.extend(b"\0" * (-len(self._blob) % 4))
        self.document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self._blob), byteLength=len(data), target=target)
        )
        self._blob.extend(data)
        return len(self.document.bufferViews) - 1

    def accessor(self, values: np.ndarray, component: int, target: int | None = None, bounds: bool = False) -> int:
        """(N, C) or (N,) values -> the accessor's index. bounds: write min and max, where glTF asks for them."""
        table = np.ascontiguousarray(values.reshape(len(values), -1))
        entry = gltf.Accessor(
            bufferView=self.view(table.tobytes(), target),
            componentType=component,
            count=len(table),
            type=_TYPE_OF_WIDTH[table.shape[1]],
        )
        if bounds:
            entry.min = [float(x) for x in table.min(0)]
            entry.max = [float(x) for x in table.max(0)]
        self.document.accessors.append(entry)
        return len(self.document.accessors) - 1

    def mesh(self, avatar: Avatar) -> gltf.Mesh:
        """The avatar's mesh with its material; textures and accessors are added on the way."""
        source, uvs, faces = split_corners(avatar.faces, avatar.corner_uvs)
        weights = avatar.skin_weights[source].astype(np.float32)
        joints = np.where(weights > 0, avatar.skin_joints[source], 0).astype(np.uint16)
        normals = vertex_normals(avatar.vertices, avatar.faces)[source]
        vertex = gltf.ARRAY_BUFFER
        attributes = gltf.Attributes(
            POSITION=self.accessor(avatar.vertices[source].astype(np.float32), _FLOAT, vertex, bounds=True),
            NORMAL=self.accessor(normals, _FLOAT, vertex),
            # glTF's v points down.
            TEXCOORD_0=self.accessor(np.stack([uvs[:, 0], 1 - uvs[:, 1]], 1).astype(np.float32), _FLOAT, vertex),
            JOINTS_0=self.accessor(joints, _SHORT, vertex),
            WEIGHTS_0=self.accessor(weights, _FLOAT, vertex),
        )
        index = self.accessor(faces.ravel(), _INT, gltf.ELEMENT_ARRAY_BUFFER)
        self._material(avatar)
        primitive = gltf.Primitive(attributes=attributes, indices=index, material=0)
        return gltf.Mesh(name=avatar.name, primitives=[primitive])

    def _material(self, avatar: Avatar) -> None:
        document = self.document
        image = self.view(avatar.textures["albedo.png"])
        document.images = [gltf.Image(name="albedo", mimeType="image/png", bufferView=image)]
        document.samplers = [
            gltf.Sampler(
                magFilter=gltf.LINEAR,
                minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                wrapS=gltf.CLAMP_TO_EDGE,
                wrapT=gltf.CLAMP_TO_EDGE,
            )
        ]
        document.textures = [gltf.Texture(sampler=0, source=0)]
        surface = gltf.PbrMetallicRoughness(
            baseColorTexture=gltf.TextureInfo(index=0), metallicFactor=0.0, roughnessFactor=1.0
        )
        document.materials = [
            gltf.Material(name=f"{avatar.name} skin and clothes", pbrMetallicRoughness=surface, alphaCutoff=None)
        ]

    def animation(self, avatar: Avatar, clip: MotionClip) -> gltf.Animation:
        """The clip on the floor: a rotation for each joint, a translation for the pelvis."""
        clip = on_floor(avatar, clip)
        times = (np.arange(len(clip)) / clip.fps).astype(np.float32)
        clock = self.accessor(times, _FLOAT, bounds=True)
        turns = quaternion(rodrigues(clip.poses.astype(np.float64)))
        # The shorter way between neighbouring frames: q and -q are one rotation, but not one path.
        flips = np.cumprod(np.where((turns[1:] * turns[:-1]).sum(-1) < 0, -1.0, 1.0), axis=0)
        turns[1:] *= flips[..., None]
        turns = np.roll(turns, -1, axis=-1).astype(np.float32)
        out = gltf.Animation(name=clip.name or "clip")
        for joint in range(len(avatar.joint_names)):
            self._channel(out, clock, joint, "rotation", turns[:, joint])
        self._channel(out, clock, 0, "translation", (avatar.rest_joints[0] + clip.trans).astype(np.float32))
        return out

    def _channel(self, animation: gltf.Animation, clock: int, joint: int, path: str, values: np.ndarray) -> None:
        animation.samplers.append(
            gltf.AnimationSampler(input=clock, output=self.accessor(values, _FLOAT), interpolation="LINEAR")
        )
        target = gltf.AnimationChannelTarget(node=joint + 1, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    def finish(self) -> bytes:
        """The whole file."""
        self._blob.extend(b"\0" * (-len(self._blob) % 4))
        self.document.buffers = [gltf.Buffer(byteLength=len(self._blob))]
        self.document.set_binary_blob(bytes(self._blob))
        return b"".join(self.document.save_to_bytes())
