"""What travels between slices of a borrowed machine: a checkpoint in parts, with the table of the run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from likeness.core.errors import LikenessError
from likeness.jobs.training import checkpoints

# A device machine brings back files of up to 16 MiB.
PART_BYTES = 15 * 2**20


def bring_back(folder: Path, weights: Path, out: Path) -> None:
    """Newest checkpoint in parts, weights, table, last picture: all that a slice leaves."""
    out.mkdir(parents=True, exist_ok=True)
    for found in checkpoints(folder)[-1:]:
        data = found.read_bytes()
        for number, start in enumerate(range(0, len(data), PART_BYTES)):
            (out / f"{found.name}.{number:02d}").write_bytes(data[start : start + PART_BYTES])
    keep = [
        weights,
        folder / "table.jsonl",
        folder / "figures.jsonl",
        *sorted((folder / "pictures").glob("*.png"))[-1:],
    ]
    for path in keep:
        if path.exists():
            shutil.copy(path, out / path.name)


def joined(source: Path, folder: Path) -> None:
    """Put a checkpoint that came back in parts, or whole, into a run's folder, with its table.

    Raises LikenessError("input.checkpoint") where there is none or a part is missing.
    """
    parts = sorted(Path(source).glob("checkpoint-*.pt.[0-9][0-9]"))
    whole = checkpoints(source)
    names = {path.stem for path in parts}
    numbers = [int(path.suffix[1:]) for path in parts]
    if not whole and (len(names) != 1 or numbers != list(range(len(parts)))):
        raise LikenessError(
            "input.checkpoint",
            f"{Path(source).name} does not hold one whole checkpoint.",
            "Name the folder that a slice brought back.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    if whole:
        shutil.copy(whole[-1], folder / whole[-1].name)
    else:
        (folder / names.pop()).write_bytes(b"".join(part.read_bytes() for part in parts))
    for name in ("table.jsonl", "figures.jsonl"):
        if (Path(source) / name).exists():
            shutil.copy(Path(source) / name, folder / name)


def out_folder() -> Path | None:
    """$OUT, where a device machine wants what shall come back."""
    named = os.environ.get("OUT")
    return Path(named) if named else None
