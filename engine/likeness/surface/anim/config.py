"""What an ANIM network consists of: every departure from the paper is a named option here (anim.md, section 10.11)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from likeness.core.errors import LikenessError

from .guess import PICTURE_CHANNELS

VoxelCode = Literal["lifted", "random", "occupancy"]


@dataclass(frozen=True)
class AnimConfig:
    """Sizes and options of one network.

    image: side of the square input in pixels; HR features have half of it, LR features a quarter.
    rgb, normals, depth: what the 2D networks see (depth: of the PIFu+D rows alone). body: the fitted body's first and
    last hit as channels of the pictures and relative to each query.
    hr, lr_direct, vfe: which features reach the head: HR per pixel, LR per pixel (PIFu rows), voxels.
    voxel_code: what an occupied voxel starts from: LR features lifted onto it, a random code, or that it is occupied.
    cell_m, nodes: the finest grid; (nodes - 1) * cell_m is the cube's side. Nodes 16 k + 1, so that every level's nodes
    lie on the finest level's and the cube's faces stay nodes (no half-voxel shift).
    voxel_widths: features of levels 1/1, 1/2, 1/4, 1/8, 1/16.
    hull: from level 1/4 on, nodes inside the silhouette's hull behind the seen surface are active too.
    psdf, visibility, cloud: per-query channels of section 8a, 8b and the distance to the observed cloud.
    explicit_back: the frozen two-layer network's guess as input, and its signed distance as what the head starts from.
    residual: the head adds a learned share of the projective signed distance to its output.
    truncation_m: the output is truncation * tanh(x), so it is a distance within about half of it and a sign beyond.
    color: a second head predicts the albedo.
    """

    name: str = "full"
    image: int = 512
    rgb: bool = True
    normals: bool = True
    depth: bool = False
    body: bool = True
    hr: bool = True
    lr_direct: bool = False
    vfe: bool = True
    voxel_code: VoxelCode = "lifted"
    lr_width: int = 96
    lr_stacks: int = 2
    lr_out: int = 32
    hr_width: int = 64
    hr_stacks: int = 1
    hr_out: int = 32
    cell_m: float = 0.005
    nodes: int = 481
    voxel_widths: tuple[int, ...] = (16, 24, 32, 56, 80)
    hull: bool = True
    psdf: bool = True
    visibility: bool = True
    cloud: bool = True
    residual: bool = True
    explicit_back: bool = False
    head: tuple[int, ...] = (256, 192, 128, 64)
    truncation_m: float = 0.08
    color: bool = True

    def __post_init__(self) -> None:
        levels = len(self.voxel_widths)
        if levels < 3 or (self.nodes - 1) % 2 ** (levels - 1) or self.image % 16:
            raise LikenessError(
                "weights.config",
                f"A network of {self.nodes} nodes, {levels} levels and pictures of {self.image} px cannot be built.",
                "Choose nodes - 1 as a multiple of two to the number of halvings, and pictures a multiple of 16.",
            )

    @property
    def side_m(self) -> float:
        """Side of the cube, metres."""
        return (self.nodes - 1) * self.cell_m

    @property
    def image_channels(self) -> int:
        """Channels of the pictures that the 2D networks see: those switched on, validity and mask."""
        return 3 * self.rgb + 3 * self.normals + self.depth + 3 * self.body + 2 + PICTURE_CHANNELS * self.explicit_back

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AnimConfig:
        """What to_dict wrote. Raises LikenessError("weights.config") on names that this version does not know."""
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise LikenessError(
                "weights.config",
                f"The network has an option that this version does not know: {min(unknown)}.",
                "Update Likeness, or use the weights that came with it.",
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


FULL = AnimConfig()
SMALL = AnimConfig(
    name="small",
    image=192,
    lr_width=32,
    lr_stacks=1,
    lr_out=16,
    hr_width=24,
    hr_stacks=1,
    hr_out=16,
    cell_m=0.02,
    nodes=129,
    voxel_widths=(12, 16, 32, 48),
    head=(96, 64),
    color=False,
)
TINY = replace(
    SMALL,
    name="tiny",
    image=64,
    lr_width=16,
    lr_out=8,
    hr_width=16,
    hr_out=8,
    voxel_widths=(8, 12, 16, 16),
    head=(48, 32),
)
# What the rows of the comparison share: twenty of them train in an hour and a half of one core.
ROWS = replace(SMALL, name="rows", image=96, cell_m=0.03, nodes=81, voxel_widths=(8, 16, 24, 32), head=(64, 48))
# The two-layer network's features carry the pictures' detail: hourglasses and voxels give the context in space.
LAYERED = replace(
    SMALL, name="layered", explicit_back=True, image=128, cell_m=0.03, nodes=81, head=(128, 96, 64), residual=False
)
PRESETS = {config.name: config for config in (FULL, SMALL, ROWS, LAYERED, TINY)}
# A row by its loss: the network is ANIM's.
WITHOUT_DEPTH_LOSS = "ANIM without L_depth"
_OPTIONS = ("hull", "psdf", "visibility", "cloud", "residual", "body", "explicit_back")


def faithful(config: AnimConfig) -> AnimConfig:
    """The paper's network of this size: none of the sheet's options."""
    return replace(config, **dict.fromkeys(_OPTIONS, False))  # type: ignore[arg-type]


def variants(config: AnimConfig) -> dict[str, AnimConfig]:
    """The rows of the published comparison and ours, in one size: row's name -> network.

    IF-Net's row starts its voxels from occupancy and normals alone; its dense grid is stood in for by the hull.
    """
    paper = faithful(config)
    pifu = replace(paper, vfe=False, hr=False, lr_direct=True)
    # explicit_back stands on another network and learns by another loss: the preset `layered`, not a row.
    own = [option for option in _OPTIONS if option not in ("explicit_back", "cloud")]
    ours = {f"ANIM + {option}": replace(paper, **{option: True}) for option in own}  # type: ignore[arg-type]
    # Only the hull's nodes are told how far the cloud is.
    ours["ANIM + hull + cloud"] = replace(paper, hull=True, cloud=True)
    return {
        "PIFu+D": replace(pifu, depth=True, normals=False),
        "PIFu+D+normals": replace(pifu, depth=True),
        "PIFu+VFE": replace(pifu, vfe=True, normals=False),
        "PIFu+VFE+normals": replace(pifu, vfe=True),
        "IF-Net+HR": replace(paper, voxel_code="occupancy", hull=True, normals=False),
        "IF-Net+HR+normals": replace(paper, voxel_code="occupancy", hull=True),
        "ANIM": paper,
        "ANIM random codes": replace(paper, voxel_code="random"),
        "ANIM without HR": replace(paper, hr=False),
        "ANIM without normals": replace(paper, normals=False),
        WITHOUT_DEPTH_LOSS: paper,
        **ours,
        "all options": replace(config, hull=True, psdf=True, visibility=True, cloud=True, residual=True, body=True),
        "all but body": replace(config, hull=True, psdf=True, visibility=True, cloud=True, residual=True, body=False),
    }
