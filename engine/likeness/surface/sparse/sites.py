"""Where a sparse tensor has values: voxels sorted by one 64-bit key, and everything that is found from the keys alone.

Coordinates are spconv's: rows [batch, z, y, x], shape (Z, Y, X). The key runs over a grid with a border of one voxel,
so that no neighbour of any voxel has the key of a voxel that is not its neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Values of one axis's kernel offsets; the 27 offsets of a kernel run over (z, y, x) with x fastest.
OFFSETS = 27
CENTER = 13
#: Largest look-up table: 256 MB.
TABLE_CELLS = 2**26


class Sites:
    """Sorted, distinct voxels of a batch of grids. Immutable; what is derived from it is kept by whoever derives it.

    indices: (N, 4) int32 [batch, z, y, x], in the order of keys. keys: (N,) int64, strictly increasing.
    shape: (Z, Y, X). stride: size of a voxel in voxels of the finest level (1, 2, 4, ...): the centre of voxel i of
    this level is the centre of voxel i * stride of the finest.
    """

    def __init__(self, indices: Tensor, keys: Tensor, shape: Sequence[int], batch_size: int, stride: int = 1) -> None:
        self.indices, self.keys = indices, keys
        self.shape: tuple[int, int, int] = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.batch_size, self.stride = int(batch_size), int(stride)
        #: What modules found out about these sites (rulebooks, the coarser level), by name.
        self.cache: dict[str, object] = {}

    @classmethod
    def from_indices(
        cls, indices: Tensor, shape: Sequence[int], batch_size: int, stride: int = 1
    ) -> tuple[Sites, Tensor | None]:
        """(N, 4) integers in any order and memory layout -> sites, and the order that sorts them (None: sorted).

        Raises ValueError for voxels outside the grid and for duplicates (`voxelize` merges those).
        """
        if indices.ndim != 2 or indices.shape[1] != 4 or indices.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"indices must be (N, 4) int32 or int64, not {tuple(indices.shape)} {indices.dtype}")
        limits = torch.tensor([batch_size, *shape], device=indices.device)
        if bool(((indices < 0) | (indices >= limits)).any()):
            raise ValueError(f"indices outside the grid of shape {tuple(shape)} and batch size {batch_size}")
        keys = linear_keys(indices, shape, batch_size)
        order = None
        if not bool((keys[1:] > keys[:-1]).all()):
            keys, order = torch.sort(keys)
            if bool((keys[1:] == keys[:-1]).any()):
                raise ValueError("the same voxel twice: merge duplicates first, as voxelize does")
            indices = indices[order]
        return cls(indices.to(torch.int32).contiguous(), keys, shape, batch_size, stride), order

    @classmethod
    def from_keys(cls, keys: Tensor, shape: Sequence[int], batch_size: int, stride: int = 1) -> Sites:
        """Sites of sorted, distinct keys."""
        return cls(indices_of(keys, shape), keys, shape, batch_size, stride)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def device(self) -> torch.device:
        return self.keys.device

    def find(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Any keys -> rows (int64, 0 where missing) and whether they are active."""
        if len(self) == 0:
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        table = self._table()
        if table is None:
            rows = torch.searchsorted(self.keys, keys).clamp_(max=len(self) - 1)
            found = self.keys[rows] == keys
            return rows * found, found
        # The first and last entries stand for all keys before and after: they are inactive.
        rows = table[(keys - self._first_key()).clamp_(0, len(table) - 1)].to(torch.int64)
        return rows.clamp(min=0), rows >= 0

    def shifted(self, z: int, y: int, x: int) -> Tensor:
        """Row of each voxel's neighbour at an offset of -1 to 1 along each axis, (N,), -1 where inactive."""
        step_z, step_y = strides(self.shape)
        step = z * step_z + y * step_y + x
        table = self._table()
        if table is None:
            rows, found = self.find(self.keys + step)
            return torch.where(found, rows, -1)
        return table.index_select(0, self.keys + (step - self._first_key()))

    def _first_key(self) -> int:
        """Key of the table's first entry, which leaves room for any neighbour of the first voxel."""
        return self._ends()[0] - sum(strides(self.shape)) - 2

    def _ends(self) -> tuple[int, int]:
        if "ends" not in self.cache:
            self.cache["ends"] = (int(self.keys[0]), int(self.keys[-1])) if len(self) else (0, 0)
        return self.cache["ends"]  # type: ignore[return-value]

    def _table(self) -> Tensor | None:
        """Row of every key from before the first voxel to after the last, int32, -1 where inactive; None where that
        takes more memory than it is worth. A look-up costs a tenth of a search."""
        if "table" not in self.cache:
            first = self._first_key()
            span = self._ends()[1] - first + sum(strides(self.shape)) + 3
            table = None
            if span <= TABLE_CELLS:
                table = torch.full((span,), -1, dtype=torch.int32, device=self.device)
                table[self.keys - first] = torch.arange(len(self), dtype=torch.int32, device=self.device)
            self.cache["table"] = table
        return self.cache["table"]  # type: ignore[return-value]


def strides(shape: Sequence[int]) -> tuple[int, int]:
    """Key steps of one voxel along z and along y (along x it is 1)."""
    return (int(shape[1]) + 2) * (int(shape[2]) + 2), int(shape[2]) + 2


def linear_keys(indices: Tensor, shape: Sequence[int], batch_size: int) -> Tensor:
    """(..., 4) [batch, z, y, x] -> (...) int64. Coordinates from -1 to the shape's are allowed: the border."""
    step_z, step_y = strides(shape)
    step_b = (int(shape[0]) + 2) * step_z
    if step_b * max(batch_size, 1) >= 2**62 or min(shape) < 1:
        raise ValueError(f"a grid of shape {tuple(shape)} and batch size {batch_size} has no 64-bit keys")
    b, z, y, x = indices.to(torch.int64).unbind(-1)
    return b * step_b + (z + 1) * step_z + (y + 1) * step_y + (x + 1)


def indices_of(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Inverse of `linear_keys`: (N,) -> (N, 4) int32."""
    step_z, step_y = strides(shape)
    slab = torch.div(keys, step_z, rounding_mode="floor")
    b = torch.div(slab, int(shape[0]) + 2, rounding_mode="floor")
    rest = keys - slab * step_z
    y = torch.div(rest, step_y, rounding_mode="floor")
    return torch.stack([b, slab - b * (int(shape[0]) + 2) - 1, y - 1, rest - y * step_y - 1], -1).to(torch.int32)


def coarser_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Shape after a convolution of kernel 3, stride 2, padding 1."""
    return tuple((int(n) - 1) // 2 + 1 for n in shape)  # type: ignore[return-value]
