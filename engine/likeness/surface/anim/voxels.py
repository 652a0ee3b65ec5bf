"""The voxel feature extractor: LR features lifted onto occupied voxels, a sparse U-Net, trilinear samples (paper, VFE).

Nodes: node i of the finest level lies at centre - side / 2 + i * cell, node i of level l at node i * 2^l of the finest
(kernel 3, stride 2, padding 1 keeps even nodes). The cube's faces are nodes of every level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likeness.surface.sparse import Sites, SparseConv3d, SparseTensor, SubMConv3d

from .config import AnimConfig
from .guess import NODE_CHANNELS, node_guess
from .inputs import AnimInputs, back_project, project
from .sampling import (
    BODY_CHANNELS,
    PSDF_CHANNELS,
    STATE_CHANNELS,
    project_points,
    query_body,
    query_depth,
    sample_picture,
)

# From this level on (1/4) the hull's nodes are active too.
HULL_LEVEL = 2
# How far behind nearly all of the cloud a person may reach: a chest is 30 cm deep.
BEYOND_M = 0.4
_CODES = 8192
_CLOUD_M, _CLOUD_POINTS = 0.3, 1500


@dataclass(frozen=True)
class Frame:
    """The grid of a batch: low (B, 3) f32, camera space, m, where node 0 of every level lies; cell_m of the finest."""

    low: Tensor
    cell_m: float
    nodes: int

    @classmethod
    def of(cls, config: AnimConfig, centre: Tensor) -> Frame:
        """The cube about `centre` (B, 3)."""
        return cls(centre - config.side_m / 2, config.cell_m, config.nodes)

    def to_nodes(self, points: Tensor, batch: Tensor) -> Tensor:
        """Points (N, 3) of items batch (N,) in node coordinates x, y, z of the finest level."""
        return (points - self.low[batch]) / self.cell_m

    def place(self, indices: Tensor, level: int) -> Tensor:
        """Nodes (M, 4) batch, z, y, x of a level -> (M, 3) points in camera space."""
        zyx = indices[:, 1:].flip(-1).to(self.low.dtype)
        return self.low[indices[:, 0].long()] + zyx * (self.cell_m * 2**level)

    def shape(self, level: int) -> tuple[int, int, int]:
        """Nodes (z, y, x) of a level."""
        count = (self.nodes - 1) // 2**level + 1
        return count, count, count


def unique_nodes(indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Distinct nodes (M, 4) int64 of (N, 4), sorted by batch, z, y, x, and for each of the N its place among them."""
    b, z, y, x = indices.long().unbind(-1)
    keys, where = torch.unique(((b * size + z) * size + y) * size + x, return_inverse=True)
    out = torch.stack([keys // size**3, keys // size**2 % size, keys // size % size, keys % size], -1)
    return out, where


def occupied(inputs: AnimInputs, frame: Frame, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes next to the observed cloud (M, 4) int64 and what is known of each (M, 7): mean offset in cells, log of the
    count, mean normal. A point belongs to its nearest node."""
    batch, rows, columns = torch.nonzero(inputs.depth[:, 0] > 0, as_tuple=True)
    points = back_project(inputs.depth, inputs.intrinsics).permute(0, 2, 3, 1)[batch, rows, columns]
    normal = normals.permute(0, 2, 3, 1)[batch, rows, columns]
    local = frame.to_nodes(points, batch)
    near = torch.round(local)
    inside = ((near >= 0) & (near < frame.nodes)).all(-1)
    batch, local, near, normal = batch[inside], local[inside], near[inside], normal[inside]
    indices, where = unique_nodes(torch.cat([batch[:, None], near.long().flip(-1)], 1), frame.nodes)
    ones = torch.ones(len(where), device=where.device)
    count = torch.zeros(len(indices), device=where.device).index_add_(0, where, ones)
    total = torch.zeros(len(indices), 6, device=where.device)
    total.index_add_(0, where, torch.cat([local - near, normal], 1))
    mean = total / count[:, None]
    return indices, torch.cat([mean[:, :3], torch.log(count)[:, None] / 3, mean[:, 3:]], 1)


def hull_nodes(inputs: AnimInputs, frame: Frame, level: int) -> Tensor:
    """Nodes (M, 4) int64 of a level where hidden skin can be: in the mask's cone, behind what is seen, not too deep.

    With one node to spare on all sides; where the mask has no reading, the nearest readings count.
    """
    spacing = frame.cell_m * 2**level
    found = []
    for item in range(len(frame.low)):
        one = slice(item, item + 1)
        near, mask, border = _reached(inputs.depth[one], inputs.mask[one], float(inputs.intrinsics[item, 0]), spacing)
        side = near.shape[-1]
        deep = inputs.depth[item][inputs.depth[item] > 0]
        limit = torch.quantile(deep[:: max(1, len(deep) // 10_000)], 0.98) + BEYOND_M
        indices = _box(inputs, frame, item, level, float(limit))
        points = frame.place(indices, level)
        pixels = project(points[None], inputs.intrinsics[one])[0]
        u, v = (torch.round((pixels - 1.5) / 4).long() + border).unbind(-1)
        inside = (u >= 0) & (u < side) & (v >= 0) & (v < side) & (points[:, 2] > 0.1)
        u, v = u.clamp(0, side - 1), v.clamp(0, side - 1)
        z = points[:, 2]
        good = inside & mask[v, u] & (z > near[v, u] - spacing) & (z < limit + spacing)
        found.append(indices[good])
    return torch.cat(found)


def _box(inputs: AnimInputs, frame: Frame, item: int, level: int, far_m: float) -> Tensor:
    """All nodes (M, 4) of a level around an item's cone, from its nearest reading to far_m."""
    depth = inputs.depth[item : item + 1]
    rows, columns = torch.nonzero(inputs.mask[item, 0], as_tuple=True)
    rim = torch.stack([columns.aminmax()[0], rows.aminmax()[0], columns.aminmax()[1], rows.aminmax()[1]]).float()
    rays = (rim.view(2, 2) - inputs.intrinsics[item, 2:]) / inputs.intrinsics[item, :2]
    spans = torch.stack([rays * depth[depth > 0].min(), rays * far_m]).view(4, 2)
    low = torch.cat([spans.amin(0), depth[depth > 0].min()[None]])
    high = torch.cat([spans.amax(0), low.new_tensor([far_m])])
    spacing = frame.cell_m * 2**level
    last = frame.shape(level)[0] - 1
    first = ((low - frame.low[item]) / spacing - 2).floor().clamp(0, last).long().tolist()
    final = ((high - frame.low[item]) / spacing + 2).ceil().clamp(0, last).long().tolist()
    x, y, z = (torch.arange(a, b + 1, device=depth.device) for a, b in zip(first, final))
    grid = torch.stack(torch.meshgrid(torch.tensor([item], device=depth.device), z, y, x, indexing="ij"), -1)
    return grid.reshape(-1, 4)


def _reached(depth: Tensor, mask: Tensor, focal_px: float, spacing: float) -> tuple[Tensor, Tensor, int]:
    """Nearest reading within a node's reach, and whether the mask is, of depth and mask (1, 1, S, S).

    On a quarter of the pixels with a border of that reach around them (its width is the third): an item's nodes must
    not depend on who else is in its batch.
    """
    none = 1e3
    nearest = float(depth[depth > 0].min().clamp(min=0.2))
    reach = math.ceil(spacing * focal_px / nearest / 4)
    around = (reach, reach, reach, reach)
    near = F.pad(-F.max_pool2d(torch.where(depth > 0, -depth, -none), 4), around, value=none)
    covered = F.pad(F.max_pool2d(mask.to(depth.dtype), 4), around)
    for _ in range(reach):
        near, covered = -F.max_pool2d(-near, 3, 1, 1), F.max_pool2d(covered, 3, 1, 1)
    # Holes larger than that: everything behind the person's nearest point is possible.
    near = torch.where(near < none, near, nearest)
    return near[0, 0], covered[0, 0] > 0, reach


@dataclass(frozen=True)
class VoxelFeatures:
    """Features of all levels, finest first, on the nodes that each level has, and the grid of the batch."""

    levels: list[SparseTensor]
    frame: Frame

    def sample(self, points: Tensor) -> Tensor:
        """(B, N, 3) points in camera space -> (B, N, sum of the levels' widths), trilinear at every level."""
        batch = torch.arange(points.shape[0], device=points.device)[:, None].expand(-1, points.shape[1]).reshape(-1)
        nodes = self.frame.to_nodes(points.reshape(-1, 3), batch)
        parts = [level.sample(nodes, batch) for level in self.levels]
        return torch.cat(parts, -1).view(*points.shape[:2], -1)


class _Convs(nn.Module):
    """Submanifold convolutions, each normed over its channels (independent of batch size, unlike Neural Body's)."""

    def __init__(self, inputs: int, outputs: int, count: int = 2) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * count
        self.convs = nn.ModuleList(SubMConv3d(a, b, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(outputs) for _ in range(count))

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        for conv, norm in zip(self.convs, self.norms):
            tensor = conv(tensor)
            tensor = tensor.replace_feature(F.relu(norm(tensor.features)))
        return tensor


class VoxelNet(nn.Module):
    """See the module. lr: channels of the LR features."""

    def __init__(self, config: AnimConfig, lr: int) -> None:
        super().__init__()
        self.config = config
        widths = config.voxel_widths
        known = 7 if config.normals else 4
        code = {"lifted": lr, "random": lr, "occupancy": 1}[config.voxel_code]
        if config.voxel_code == "random":
            drawn = torch.randn(_CODES, lr, generator=torch.Generator().manual_seed(0))
            self.register_buffer("codes", drawn)
        self.enter = nn.Linear(code + known, widths[0])
        self.encoders = nn.ModuleList(_Convs(w, w) for w in widths)
        self.downs = nn.ModuleList(SparseConv3d(a, b, bias=False) for a, b in pairwise(widths))
        self.node_channels = PSDF_CHANNELS + STATE_CHANNELS + 1 + config.cloud + BODY_CHANNELS * config.body
        self.node_channels += NODE_CHANNELS * config.explicit_back
        self.node_channels += lr if config.voxel_code == "lifted" else 0
        if config.hull:
            self.node_in = nn.Linear(self.node_channels, widths[HULL_LEVEL])
        self.decoders = nn.ModuleList(_Convs(a + b, a) for a, b in pairwise(widths))

    @property
    def outputs(self) -> int:
        """Channels of a sample."""
        return sum(self.config.voxel_widths)

    def forward(self, inputs: AnimInputs, maps: Tensor, normals: Tensor, lr: Tensor | None) -> VoxelFeatures:
        """maps (B, 2, S, S) cosine and edge distance; normals (B, 3, S, S); lr (B, C, S / 4, S / 4)."""
        frame = Frame.of(self.config, inputs.centre)
        indices, known = occupied(inputs, frame, normals)
        code = self._code(inputs, frame, indices, lr)
        sites = Sites.from_indices(indices, frame.shape(0), len(inputs.centre))[0]
        now = SparseTensor.on(sites, self.enter(torch.cat([code, known[:, : self._known]], 1)))
        levels: list[SparseTensor] = []
        for level, encoder in enumerate(self.encoders):
            if level:
                now = self.downs[level - 1](now)
            if level == HULL_LEVEL and self.config.hull:
                now = self._with_hull(inputs, frame, maps, lr, now)
            now = encoder(now)
            levels.append(now)
        for level in range(len(levels) - 2, -1, -1):
            skip = levels[level]
            places = skip.indices[:, 1:].flip(-1).float() * skip.sites.stride
            up = levels[level + 1].sample(places, skip.indices[:, 0])
            levels[level] = self.decoders[level](skip.replace_feature(torch.cat([skip.features.float(), up], 1)))
        return VoxelFeatures(levels, frame)

    @property
    def _known(self) -> int:
        return 7 if self.config.normals else 4

    def _code(self, inputs: AnimInputs, frame: Frame, indices: Tensor, lr: Tensor | None) -> Tensor:
        """What each occupied voxel starts from (M, C)."""
        if self.config.voxel_code == "occupancy":
            return torch.ones(len(indices), 1, device=indices.device)
        if self.config.voxel_code == "random":
            primes = torch.tensor([73856093, 19349663, 83492791], device=indices.device)
            return self.codes[(indices[:, 1:] * primes).sum(-1) % _CODES]  # type: ignore[index]
        assert lr is not None
        return lifted(inputs, frame.place(indices, 0), indices[:, 0], lr)

    def _with_hull(
        self, inputs: AnimInputs, frame: Frame, maps: Tensor, lr: Tensor | None, observed: SparseTensor
    ) -> SparseTensor:
        """Features on the observed nodes and the hull's, each told where it lies against depth and body."""
        hull = hull_nodes(inputs, frame, HULL_LEVEL)
        together, where = unique_nodes(torch.cat([observed.indices.long(), hull]), frame.nodes)
        rows = where[: len(observed.indices)]
        features = torch.zeros(len(together), observed.features.shape[1], device=rows.device)
        features = features.index_copy(0, rows, observed.features.float())
        told = self._told(inputs, maps, lr, frame.place(together, HULL_LEVEL), together[:, 0], rows)
        made = Sites.from_indices(together, observed.spatial_shape, observed.batch_size, observed.sites.stride)[0]
        return SparseTensor.on(made, features + self.node_in(told))

    def _told(
        self, inputs: AnimInputs, maps: Tensor, lr: Tensor | None, points: Tensor, batch: Tensor, observed: Tensor
    ) -> Tensor:
        """What nodes (M, 3) know of depth, body, cloud and picture (M, node_channels)."""
        padded, back = padded_items(points, batch, len(inputs.centre))
        pixels = project_points(inputs, padded)
        query = query_depth(inputs, maps, padded, pixels)
        parts = [query.psdf(), query.state()]
        if self.config.body:
            parts.append(query_body(inputs.body, padded, pixels))
        if self.config.voxel_code == "lifted" and lr is not None:
            parts.append(sample_picture(lr, pixels, stride=4).to(points.dtype))
        flags = torch.zeros(len(points), 1, device=points.device)
        flags[observed] = 1.0
        flat = [flags, torch.cat(parts, -1).reshape(-1, sum(p.shape[-1] for p in parts))[back]]
        if self.config.explicit_back and inputs.guess is not None:
            flat.append(node_guess(inputs.guess, points, batch))
        if self.config.cloud:
            flat.append(_cloud_distance(points, batch, observed))
        return torch.cat(flat, 1)


def lifted(inputs: AnimInputs, points: Tensor, batch: Tensor, lr: Tensor) -> Tensor:
    """LR features (B, C, h, w) at the projections of points (M, 3) of items batch (M,) -> (M, C)."""
    padded, back = padded_items(points, batch, len(inputs.centre))
    found = sample_picture(lr, project_points(inputs, padded), stride=4)
    return found.reshape(-1, lr.shape[1])[back].to(points.dtype)


def padded_items(points: Tensor, batch: Tensor, items: int) -> tuple[Tensor, Tensor]:
    """Points (M, 3), sorted by item, as (items, most, 3) with zeros behind, and where each lies in its flat form."""
    count = torch.bincount(batch, minlength=items)
    start = torch.cumsum(count, 0) - count
    most = int(count.max())
    back = batch * most + torch.arange(len(batch), device=batch.device) - start[batch]
    out = points.new_zeros(items * most, 3)
    out[back] = points
    return out.view(items, most, 3), back


def _cloud_distance(points: Tensor, batch: Tensor, observed: Tensor) -> Tensor:
    """Distance (M, 1) of nodes to the nearest observed node of their item in 30 cm, at most 1."""
    out = torch.ones(len(points), 1, device=points.device)
    owner = batch[observed]
    for item in range(int(batch.max()) + 1):
        mine, seen = torch.nonzero(batch == item)[:, 0], observed[owner == item]
        cloud = points[seen[:: max(1, len(seen) // _CLOUD_POINTS)]]
        parts = [torch.cdist(chunk, cloud).amin(1) for chunk in points[mine].split(8192)]
        out[mine, 0] = (torch.cat(parts) / _CLOUD_M).clamp(max=1.0)
    return out
