"""Make the people pack that ships: engine/likeness/weights/people, from a folder of raw material.

    python install/make/make_people.py --data DATA --out engine/likeness/weights/people

DATA holds assets.json with body/, skins/, garments/, hair/, eyes/, motion/ and avatars/. The same DATA and versions of
Pillow give the same bytes. Files are parted by licence, so that each has one. `split.json` and README.md in the
folder are written by hand and stay.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from avatar_colors import finish
from likeness.core.frames import axis_angle, rodrigues
from likeness.synthesis.archive import encode, write_archive
from likeness.synthesis.pack import Pack
from numpy.typing import NDArray
from people_meshes import packed_mesh
from PIL import Image

#: Licence of an item -> what its file is called. An item under another licence is left out.
ARCHIVES = {"CC0-1.0": "cc0", "CC-BY-3.0": "cc_by_3", "CC-BY-4.0": "cc_by_4"}
#: Steps to which floating-point arrays are rounded: metres, but offsets decimetres, weights and UVs parts of one.
BASE_STEPS = {"verts": 1e-5, "uvs": 1e-6, "skin_w": 1e-4}
ITEM_STEPS = {"uvs": 1 / 8192, "weight": 2e-4, "offset": 5e-4, "scale_div": 1e-4}
CLIP_STEPS = {"poses": 5e-4, "trans": 2e-4, "rest_offsets": 1e-4}
AVATAR_STEPS = {"vertices": 2e-4, "uvs": 1 / 8192, "bone_heads": 1e-4, "joints24": 1e-4, "joints52": 1e-4}
#: Whole-body targets are half of all numbers, and no slider moves anything by less than their step.
TARGET_STEP, MACRO_STEP = 1e-4, 2e-4
GARMENT_QUALITY, ATLAS_QUALITY, ALPHA_QUALITY = 84, 75, 80
COLOR_SEED = 1
#: Avatars in one blob: relatives share parts of their meshes, which then are stored once.
AVATARS_A_BLOB = 8
MAX_TURN_DEG = 45.0
TURN_MARGIN = 2
CMU = "CMU-mocap"
MIT = "MIT-Microsoft"
BVH = "; conversion in a repository without a licence of its own; the terms of the CMU database cover the trial"


def read(path: Path) -> dict[str, NDArray]:
    """All arrays of an npz file."""
    with np.load(path, allow_pickle=False) as z:
        return {key: z[key] for key in z.files}


def picture(image: Image.Image, quality: int) -> bytes:
    """A picture as lossy WebP."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=quality, method=6)
    return out.getvalue()


def lossless(mask: NDArray[np.bool_]) -> bytes:
    """A mask as a lossless WebP."""
    out = io.BytesIO()
    Image.fromarray(mask).convert("L").save(out, "WEBP", lossless=True, quality=100, method=6)
    return out.getvalue()


def body(data: Path) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """Members of the body's archive, and the targets' names by group."""
    members = {"base": encode(read(data / "body" / "mh_base.npz"), BASE_STEPS)}
    groups = {}
    for path in sorted((data / "body" / "targets").glob("*.npz")):
        z = read(path)
        groups[path.stem] = [str(name) for name in z.pop("names")]
        z["delta"] = (z["delta"] * 1e-4).astype(np.float32)
        step = MACRO_STEP if path.stem.startswith("macro") else TARGET_STEP
        members[f"targets/{path.stem}"] = encode(z, {"delta": step})
    return members, groups


def wearable(data: Path, entry: dict) -> tuple[dict[str, bytes], list[str]]:
    """Members and texture names of one garment, hair or pair of eyes."""
    arrays = read(data / entry["file"])
    del arrays["verts"]
    uv_vertex = np.zeros(len(arrays["uvs"]), np.int32)
    uv_vertex[arrays["face_uv"]] = arrays["faces"]
    if np.array_equal(uv_vertex[arrays["face_uv"]], arrays["faces"]):
        # Where every UV belongs to one vertex, the faces follow from their UVs.
        del arrays["faces"]
        arrays["uv_vertex"] = uv_vertex
    members = {f"{entry['id']}/arrays": encode(arrays, ITEM_STEPS)}
    names = []
    for texture in entry["textures"]:
        name = Path(texture["color"]).stem.split("__")[-1]
        names.append(name)
        color = Image.open(data / texture["color"]).convert("RGB")
        members[f"{entry['id']}/{name}.color"] = picture(color, GARMENT_QUALITY)
        if texture["alpha"]:
            alpha = Image.open(data / texture["alpha"]).convert("L")
            members[f"{entry['id']}/{name}.alpha"] = picture(alpha, ALPHA_QUALITY)
    return members, names


def assets(data: Path) -> tuple[dict[str, dict[str, bytes]], list[dict]]:
    """Members by archive, and what the index says about each item."""
    archives: dict[str, dict[str, bytes]] = defaultdict(dict)
    entries = []
    for entry in json.loads((data / "assets.json").read_text("utf-8")):
        if entry["licence"] not in ARCHIVES:
            continue
        kept = {key: entry[key] for key in ("id", "kind", "licence", "author", "source")}
        kept |= {"category": entry.get("category", entry["kind"]), "tags": entry.get("tags", []), "textures": []}
        kept["archive"] = f"wearables_{ARCHIVES[entry['licence']]}.zip"
        if entry["kind"] == "skin":
            # As it came: another lossy step wipes out pores and grain.
            archives[kept["archive"]][f"{entry['id']}/color"] = (data / entry["file"]).read_bytes()
        else:
            members, kept["textures"] = wearable(data, entry)
            archives[kept["archive"]] |= members
        entries.append(kept)
    return archives, entries


def usable(poses: NDArray) -> NDArray[np.bool_]:
    """(T,) frames that lie more than two frames from a turn of any joint (T, 24, 3) by over 45 degrees in one step."""
    turn = rodrigues(poses.astype(np.float64))
    step = np.linalg.norm(axis_angle(np.swapaxes(turn[:-1], -1, -2) @ turn[1:]), axis=-1).max(axis=1)
    good = np.ones(len(poses), bool)
    for frame in np.flatnonzero(np.degrees(step) > MAX_TURN_DEG):
        good[max(frame - TURN_MARGIN, 0) : frame + 2 + TURN_MARGIN] = False
    return good


def clips(data: Path) -> tuple[dict[str, dict[str, bytes]], dict[str, dict]]:
    """Members by archive, and what the index says about each clip."""
    archives: dict[str, dict[str, bytes]] = defaultdict(dict)
    entries = {}
    for entry in json.loads((data / "motion" / "index.json").read_text("utf-8")):
        z = read(data / entry["file"])
        arrays = {key: z[key] for key in ("poses", "trans", "rest_offsets")}
        arrays["usable"] = usable(z["poses"]).astype(np.uint8)
        licence = "CC0-1.0" if entry["licence"].startswith("CC0") else CMU
        archive = "clips_cc0.zip" if licence == "CC0-1.0" else "clips_cmu.zip"
        archives[archive][entry["name"]] = encode(arrays, CLIP_STEPS)
        source = entry["source"] + (BVH if "BVH" in entry["source"] else "")
        entries[entry["name"]] = {
            "archive": archive,
            "description": entry["description"],
            "fps": float(entry["fps"]),
            "licence": licence,
            "source": source,
        }
    return archives, entries


def avatar(data: Path, entry: dict) -> tuple[dict[str, NDArray], NDArray[np.uint8], NDArray[np.bool_]]:
    """Arrays, finished atlas and known texels of one avatar, ready to be packed."""
    arrays = read(data / "avatars" / entry["file"])
    arrays["vertices"] = (arrays["vertices"] * 1e-4).astype(np.float32)
    atlas = np.asarray(Image.open(data / "avatars" / entry["texture"]).convert("RGB"))
    told = {"caption": entry["caption"], "real_textures": entry["real_textures"]}
    atlas, known = finish(arrays, atlas, COLOR_SEED, **told)
    arrays["uvs"] = (arrays["uvs"] / 65535).astype(np.float32)
    numbers = ("bone_parents", "bone_smpl24", "bone_smplh52", "skin_bones")
    arrays |= {key: arrays[key].astype(np.int32) for key in numbers}
    return packed_mesh(arrays), atlas, known


def avatars(data: Path) -> tuple[dict[str, bytes], dict[str, dict]]:
    """Members of the avatars' archive, and what the index says about each."""
    members: dict[str, bytes] = {}
    entries: dict[str, dict] = {}
    blob: dict[str, NDArray] = {}
    listed = sorted(json.loads((data / "avatars" / "index.json").read_text("utf-8")), key=lambda entry: entry["name"])
    for number, entry in enumerate(listed):
        name, group = entry["name"], f"arrays{number // AVATARS_A_BLOB}"
        arrays, atlas, known = avatar(data, entry)
        members[f"{name}/atlas"] = picture(Image.fromarray(atlas), ATLAS_QUALITY)
        members[f"{name}/known"] = lossless(known)
        blob |= {f"{name}/{key}": array for key, array in arrays.items()}
        kept = {key: entry[key] for key in ("kind", "caption", "person", "source")}
        entries[name] = {**kept, "licence": MIT, "blob": group}
        if (number + 1) % AVATARS_A_BLOB == 0 or number + 1 == len(listed):
            members[group] = encode(blob, {key: AVATAR_STEPS.get(key.split("/")[1], 0) for key in blob})
            blob = {}
    return members, entries


def write_credits(path: Path, lines: list[str]) -> None:
    """CREDITS.md: every item and the notice that the avatars' licence asks for."""
    head = """# Credits of the people pack

Written by `install/make/make_people.py`, which rounded the numbers and compressed the textures of every item. The texts
of the licences are in `LICENSES/`.
The avatars: Copyright (c) 2020 Microsoft Corporation, MIT License (`LICENSES/MIT-Microsoft.txt`); cite
Gonzalez-Franco et al., The Rocketbox library and the utility of freely available rigged avatars, Frontiers in Virtual
Reality 2020.

"""
    path.write_text(head + "".join(f"- {line}\n" for line in lines), "utf-8")


def main() -> int:
    """Write the pack and say how large it is."""
    parser = argparse.ArgumentParser(description="Make the people pack that ships.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    index: dict = {}
    archives: dict[str, dict[str, bytes]] = {}
    archives["body.zip"], index["targets"] = body(options.data)
    wearables, index["assets"] = assets(options.data)
    moving, index["clips"] = clips(options.data)
    archives |= wearables | moving
    archives["avatars.zip"], index["avatars"] = avatars(options.data)
    index["sha256"] = {name: write_archive(options.out / name, archives[name]) for name in sorted(archives)}
    (options.out / "pack.json").write_text(json.dumps(index, separators=(",", ":")) + "\n", "utf-8")
    write_credits(options.out / "CREDITS.md", Pack(options.out).credits)
    for path in sorted(options.out.iterdir()):
        sys.stderr.write(f"{path.stat().st_size:10d} {path.name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
