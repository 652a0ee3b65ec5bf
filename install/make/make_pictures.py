"""Remake the pictures of the documents from our own samples: python install/make/make_pictures.py

Needs the engine's environment. Writes docs/pictures/hero.png (capture to walk), photo.png (photo to avatar), fit.png
(the fitted body over both samples) and people.jpg (synthetic people, of CC0 items alone). The panel's screenshot is
taken by hand in a real window.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from likeness.asset.render import TexturedMesh, render_mesh
from likeness.asset.views import captured_view, clip_views
from likeness.core.avatar import Avatar, read_avatar
from likeness.core.motion import find_clip
from likeness.jobs.avatar_job import read_input, run_avatar_job
from likeness.jobs.request import AvatarRequest
from likeness.synthesis.pack import load_pack
from likeness.synthesis.recipes import Recipe
from likeness.synthesis.sample import Settings, ViewSample, make_dressed, make_sample
from likeness.synthesis.views import view_angles
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
BACKDROP = (226, 229, 232, 255)
HEIGHT = 520


def main() -> int:
    """Make both avatars, then the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        capture = AvatarRequest(capture=str(ROOT / "samples" / "capture"), out=f"{folder}/capture.avatar")
        photo = AvatarRequest(photos=(str(ROOT / "samples" / "photo.jpg"),), out=f"{folder}/photo.avatar")
        for request in (capture, photo):
            run_avatar_job(request, lambda event: None)
        first, second = (read_avatar(r.out_path) for r in (capture, photo))
        overlays = [Image.open(r.out_path / "previews" / "overlay.png").copy() for r in (capture, photo)]
    read = read_input(capture)
    assert read.depth is not None
    views = [person(first, azimuth) for azimuth in (0, 90, 180)]
    save("hero", [crop(read.color, read.mask), depth_picture(read.depth, read.mask), *views, *steps(first)])
    shot = read_input(photo)
    save("photo", [crop(shot.color, shot.mask), *(person(second, a) for a in (0, 90, 180)), *steps(second)])
    save("fit", overlays)
    people().save(PICTURES / "people.jpg", quality=86, optimize=True)
    return 0


def people(count: int = 7, size: int = 228) -> Image.Image:
    """A row of synthetic people seen more or less from in front, and below what is known about each."""
    pack = load_pack()
    settings = Settings(seed=3, size=size, views=1, points=0, mesh=False, avatars=0.0, sensors=("azure_kinect",))
    columns: list[np.ndarray] = []
    index = 0
    while len(columns) < count:
        items = Recipe.from_dict(make_dressed(pack, settings, index).recipe).items
        if all(pack.assets[item].licence == "CC0-1.0" for item in items):
            sample = make_sample(pack, settings, index)
            view = sample.views[0]
            if abs(view_angles(view.view, sample.posed)[0]) < 80 and view.color.mean() > 70:
                label = (reading_picture, normal_picture, part_picture)[len(columns) % 3]
                columns.append(np.concatenate([view.color, label(view)]))
        index += 1
    return Image.fromarray(np.concatenate(columns, axis=1))


def reading_picture(view: ViewSample) -> np.ndarray:
    """The person as the sensor reads it, near is bright."""
    valid = view.mask & (view.depth > 0)
    near, far = np.percentile(view.depth[valid], [1, 99])
    grey = np.where(valid, 255 - 175 * np.clip((view.depth - near) / (far - near), 0, 1), 30).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def normal_picture(view: ViewSample) -> np.ndarray:
    """Normals as colours, camera axes with y up and z towards the camera."""
    shown = (view.normal * (1, -1, -1) + 1) * 127
    return np.where(view.outline[..., None], shown, 30).astype(np.uint8)


def part_picture(view: ViewSample) -> np.ndarray:
    """Body parts as colours."""
    hues = np.random.default_rng(1).integers(60, 256, (256, 3))
    hues[0] = 30
    return hues[view.part].astype(np.uint8)


def person(avatar: Avatar, degrees: float) -> Image.Image:
    """The avatar as captured, the camera turned about it, lit."""
    view = captured_view(avatar, degrees)
    image = render_mesh(
        TexturedMesh.of(avatar), view.vertices, view.camera, view.camera_from_world, lit=True, up=view.up
    )
    return trimmed(image)


def steps(avatar: Avatar) -> list[Image.Image]:
    """Three moments of the walk, each framed by itself."""
    clip, out = find_clip("walk_02_01"), []
    for frame in (6, 20, 34):
        view = next(clip_views(avatar, clip, [frame], (900, 1300)))
        mesh = TexturedMesh.of(avatar)
        out.append(trimmed(render_mesh(mesh, view.vertices, view.camera, view.camera_from_world, lit=True, up=view.up)))
    return out


def trimmed(image: np.ndarray) -> Image.Image:
    """(H, W, 4) on the backdrop, cut to what is drawn."""
    rows, cols = np.nonzero(image[..., 3])
    cut = Image.fromarray(image[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1])
    scaled = cut.resize((round(cut.width * HEIGHT * 0.92 / cut.height), round(HEIGHT * 0.92)), Image.Resampling.LANCZOS)
    out = Image.new("RGBA", (scaled.width + 24, HEIGHT), BACKDROP)
    out.alpha_composite(scaled, (12, (HEIGHT - scaled.height) // 2))
    return out.convert("RGB")


def crop(color: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The photograph around the person."""
    rows, cols = np.nonzero(mask)
    pad = 0.07 * (np.ptp(rows) + 1)
    box = (cols.min() - pad, rows.min() - pad, cols.max() + pad, rows.max() + pad)
    low, high = np.zeros(4), np.tile([color.shape[1], color.shape[0]], 2)
    cut = Image.fromarray(color).crop(tuple(np.clip(box, low, high).astype(int)))
    return cut.resize((round(cut.width * HEIGHT / cut.height), HEIGHT), Image.Resampling.LANCZOS)


def depth_picture(depth: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Near is bright."""
    valid = mask & (depth > 0)
    near, far = np.percentile(depth[valid], [1, 99])
    grey = np.where(valid, 255 - 175 * np.clip((depth - near) / (far - near), 0, 1), 30).astype(np.uint8)
    return crop(np.repeat(grey[..., None], 3, axis=2), mask)


def save(name: str, panels: list[Image.Image]) -> None:
    """Panels side by side, at most 1600 pixels wide, as a small PNG."""
    height = min(p.height for p in panels)
    panels = [p.convert("RGB").resize((round(p.width * height / p.height), height)) for p in panels]
    sheet = Image.new("RGB", (sum(p.width for p in panels), height))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width
    sheet.thumbnail((1600, HEIGHT), Image.Resampling.LANCZOS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    sys.exit(main())
