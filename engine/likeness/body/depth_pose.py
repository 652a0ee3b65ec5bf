"""A small network that reads the body's joints, their turns and its own doubt off a depth picture alone.

BlazePose looks at colour; what it cannot see it takes from what is usual, and it mistakes left for right, crouching for
standing and children for adults far off. Depth shows the trunk's and the limbs' places in metres. This network has seen
clothed synthetic people of the train split from all round. Joints are read off as expectations over heat maps (Sun et
al. 2018, Integral Human Pose Regression), each with a displacement a cell, since hidden joints lie elsewhere. All it
sees and says is in the frame of the line of sight to the person, weights/body/depth_pose.npz, made by
install/make/make_depth_pose.py.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from likeness.body.corrector import JOINTS, from_six, turn_to
from likeness.body.weight_files import body_tensors
from likeness.core.camera import Camera
from likeness.core.frames import axis_angle
from torch import nn

# The picture: square, its pixels this wide at the person's median depth.
SIDE, PIXEL_M = 112, 0.02
# Cells of the heat maps along a side.
CELLS = 28
# Metres: unit of relative depth, and how far from the median readings are believed to be the person's.
DEPTH_UNIT_M, DEPTH_REACH_M = 0.5, 1.5
# Samples along each side of a pixel, of which the median counts.
SAMPLES = 3
MIN_READINGS = 60
# The network is never surer nor less sure than this: metres a joint, radians a turn, all axes together.
SIGMA_M, SIGMA_RAD = (0.008, 0.6), (0.05, 1.5)
# The joints of the other side.
MIRRORED = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20]
WIDTHS = (24, 40, 64, 96)
POOLED, HIDDEN = 16, 192


@dataclass(frozen=True)
class DepthPose:
    """What the network takes a person for, in camera space.

    joints (22, 3) m and sigma_m (22,) their usual miss along each axis; pose (24, 3) f32 axis-angle, the root in camera
    axes, hands at rest; sigma_rad (22,): how far each turn is usually off about each axis; child 0..1.
    """

    joints: np.ndarray
    sigma_m: np.ndarray
    pose: np.ndarray
    sigma_rad: np.ndarray
    child: float


@dataclass(frozen=True)
class DepthPicture:
    """What the network looks at. channels (4, SIDE, SIDE) f32: relative depth, whether it is known, on the person, in
    the capture's picture. turn (3, 3): sight's frame -> camera. distance_m: of the pixels' width."""

    channels: np.ndarray
    turn: np.ndarray
    distance_m: float


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1)
        self.norm = nn.GroupNorm(8, after)
        self.second = nn.Conv2d(after, after, 3, 1, 1)
        self.last = nn.GroupNorm(8, after)
        self.across = nn.Conv2d(before, after, 1, stride) if stride > 1 or before != after else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = nn.functional.relu(self.norm(self.first(x)))
        out: torch.Tensor = nn.functional.relu(self.last(self.second(inner)) + self.across(x))
        return out


class DepthPoseNet(nn.Module):
    """(B, 4, SIDE, SIDE) -> joints (B, 22, 3), log sigma (B, 22), turns (B, 22, 3, 3), log sigma (B, 22), child (B,).

    joints: x, y in pixels from the middle, in units of metres at the person's distance, and depth less the median.
    """

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(6, a, 5, 2, 2), nn.GroupNorm(8, a), nn.ReLU())
        self.down = nn.ModuleList([_Block(a, b, 2), _Block(b, c, 2), _Block(c, d, 2)])
        self.deep = _Block(d, d)
        self.up = nn.ModuleList([nn.Conv2d(d + c, c, 3, 1, 1), nn.Conv2d(c + b, b, 3, 1, 1)])
        self.fine = _Block(b, b)
        # Per joint: heat, displacement in three axes, log sigma.
        self.maps = nn.Conv2d(b, JOINTS * 5, 1)
        self.pick = nn.Linear(b, POOLED)
        self.turns = nn.Sequential(
            nn.Linear(JOINTS * (POOLED + 3) + d, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, JOINTS * 7 + 1)
        )
        step = PIXEL_M * SIDE / CELLS
        line = (torch.arange(CELLS) + 0.5 - CELLS / 2) * step
        grid = torch.stack([line.repeat(CELLS), line.repeat_interleave(CELLS), torch.zeros(CELLS * CELLS)])
        self.grid: torch.Tensor
        self.register_buffer("grid", grid, persistent=False)
        side = torch.linspace(-1, 1, SIDE)
        place = torch.stack([side.expand(SIDE, SIDE), side[:, None].expand(SIDE, SIDE)])
        self.place: torch.Tensor
        self.register_buffer("place", place, persistent=False)

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """See the class."""
        count = len(picture)
        x = self.stem(torch.cat([picture, self.place.expand(count, -1, -1, -1)], dim=1))
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        x = self.deep(x)
        bottom = x.mean(dim=(2, 3))
        for conv, beside in zip(self.up, (levels[1], levels[0]), strict=True):
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = nn.functional.relu(conv(torch.cat([x, beside], dim=1)))
        x = self.fine(x)
        maps = self.maps(x).float().reshape(count, JOINTS, 5, CELLS * CELLS)
        share = torch.softmax(maps[:, :, 0], dim=-1)
        joints = ((0.2 * maps[:, :, 1:4] + self.grid) * share[:, :, None]).sum(-1)
        sigma = _between((maps[:, :, 4] * share).sum(-1), SIGMA_M)
        pooled = self.pick(torch.einsum("bjn,bcn->bjc", share, x.float().flatten(2)))
        flat = torch.cat([pooled.flatten(1), 2 * joints.detach().flatten(1), bottom.float()], dim=1)
        six, doubt, child = self.turns(flat).split([JOINTS * 6, JOINTS, 1], dim=1)
        turns = from_six(six.reshape(count, JOINTS, 6))
        return joints, sigma, turns, _between(doubt, SIGMA_RAD), child[:, 0]


def _between(values: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    low, high = np.log(limits[0]), np.log(limits[1])
    return low + (high - low) * torch.sigmoid(values)


def depth_picture(depth: np.ndarray, mask: np.ndarray, camera: Camera) -> DepthPicture | None:
    """What the network looks at, of cleaned depth (H, W) m, 0 = none, and the person's mask (H, W) bool.

    None where too little was measured.
    """
    person = mask & (depth > 0)
    if person.sum() < MIN_READINGS:
        return None
    rows, columns = np.nonzero(mask)
    middle = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
    turn = turn_to(np.array([(middle[0] - camera.cx) / camera.fx, (middle[1] - camera.cy) / camera.fy, 1.0]))
    along = camera.backproject(depth)[person] @ turn[:, 2]
    distance = float(np.median(along))
    parts = (np.arange(SIDE * SAMPLES) + 0.5) / SAMPLES - SIDE / 2
    tangent = parts * PIXEL_M / distance
    rays = np.stack(np.broadcast_arrays(tangent[None, :], tangent[:, None], np.ones(1)), axis=-1) @ turn.T
    ahead = np.maximum(rays[..., 2], 1e-3)
    u = np.floor(rays[..., 0] / ahead * camera.fx + camera.cx + 0.5).astype(int)
    v = np.floor(rays[..., 1] / ahead * camera.fy + camera.cy + 0.5).astype(int)
    height, width = mask.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (rays[..., 2] > 0.05)
    pick = np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)
    on = _blocks(inside & mask[pick])
    value = depth[pick] / ahead
    value = np.sort(np.where(on & (_blocks(value) > 0), _blocks(value), np.inf), axis=-1)
    readings = np.isfinite(value).sum(-1)
    front = np.take_along_axis(value, np.maximum(readings - 1, 0)[..., None] // 2, -1)[..., 0]
    shown = on.sum(-1) * 2 > SAMPLES**2
    known = shown & (readings * 3 >= SAMPLES**2)
    relative = np.where(known, front, distance) - distance
    channels = channels_of(relative, known, shown, _blocks(inside).sum(-1) * 2 > SAMPLES**2)
    return DepthPicture(channels, turn, distance)


def channels_of(relative: np.ndarray, known: np.ndarray, person: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(4, ...) f32 of depth less the person's median (m), where it is known, the person, and the picture."""
    known = known & (np.abs(relative) < DEPTH_REACH_M)
    return np.stack([np.where(known, relative, 0) / DEPTH_UNIT_M, known, person, inside]).astype(np.float32)


def _blocks(values: np.ndarray) -> np.ndarray:
    """(SIDE s, SIDE s) -> (SIDE, SIDE, s s)."""
    return values.reshape(SIDE, SAMPLES, SIDE, SAMPLES).transpose(0, 2, 1, 3).reshape(SIDE, SIDE, -1)


@functools.cache
def load_depth_pose() -> DepthPoseNet:
    """The shipped network. Raises LikenessError("environment.weights_missing") without its file."""
    net = DepthPoseNet()
    net.load_state_dict(body_tensors("depth_pose.npz"))
    return net.eval()


def _both_ways(net: nn.Module, channels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The mean of what the network says of a picture (4, SIDE, SIDE) and of its mirror image; see DepthPoseNet."""
    picture = torch.from_numpy(np.stack([channels, channels[:, :, ::-1]]))
    with torch.no_grad():
        joints, sigma, turns, doubt, child = (value.double().numpy() for value in net(picture))
    across = np.array([-1.0, 1.0, 1.0])
    joints = (joints[0] + joints[1, MIRRORED] * across) / 2
    both = turns[0] + across[:, None] * turns[1, MIRRORED] * across
    u, _, vt = np.linalg.svd(both)
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    sigma, doubt = ((value[0] + value[1, MIRRORED]) / 2 for value in (sigma, doubt))
    return joints, sigma, u @ vt, doubt, child.mean()


def read_depth(depth: np.ndarray, mask: np.ndarray, camera: Camera, net: nn.Module | None = None) -> DepthPose | None:
    """What the network (the shipped one) takes a person for; see depth_picture. None where too little is known."""
    picture = depth_picture(depth, mask, camera)
    if picture is None:
        return None
    joints, sigma, turns, doubt, child = _both_ways(load_depth_pose() if net is None else net, picture.channels)
    z = joints[:, 2] + picture.distance_m
    places = np.stack([joints[:, 0] * z, joints[:, 1] * z, z * picture.distance_m], axis=1) / picture.distance_m
    turns[0] = picture.turn @ turns[0]
    pose = np.zeros((24, 3), np.float32)
    pose[:JOINTS] = axis_angle(turns)
    return DepthPose(
        joints=places @ picture.turn.T,
        sigma_m=np.exp(sigma),
        pose=pose,
        sigma_rad=np.exp(doubt) / np.sqrt(3.0),
        child=float(1 / (1 + np.exp(-child))),
    )
