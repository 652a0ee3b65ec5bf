"""Motion clips: AMASS-style .npz files, the artist's own and those that ship."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .errors import LikenessError
from .files import read_npz, write_bytes
from .frames import axis_angle, rodrigues
from .hands import BODY_JOINTS, LAYOUTS, RELAXED_FINGERS, with_joints

CLIPS = Path(__file__).with_name("clips")
MAX_FRAMES = 200_000
#: Y up from Z up (AMASS): a quarter turn about X.
_Y_FROM_Z = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])


@dataclass(frozen=True)
class MotionClip:
    """A pose for every frame.

    poses: (T, J, 3) f32 axis-angle relative to the T-shaped rest pose. trans: (T, 3) f32 metres, as SMPL means it:
    the pelvis stands at rest pelvis + trans. fps: frames a second. up: 'Y' or 'Z'.
    """

    poses: np.ndarray
    trans: np.ndarray
    fps: float
    up: str = "Y"
    name: str = ""
    source: str = ""
    licence: str = ""

    def __len__(self) -> int:
        return len(self.poses)

    def upright(self, rest_pelvis: np.ndarray | None = None) -> MotionClip:
        """The same motion with Y up.

        rest_pelvis: (3,) the pelvis in the body's rest pose. SMPL turns the root about it, so the turned
        translation needs it (rest pelvis + trans is the point that turns); zero when left out.
        """
        if self.up == "Y":
            return self
        pelvis = np.zeros(3) if rest_pelvis is None else np.asarray(rest_pelvis, np.float64)
        poses = self.poses.astype(np.float64).copy()
        poses[:, 0] = axis_angle(_Y_FROM_Z @ rodrigues(poses[:, 0]))
        trans = (self.trans.astype(np.float64) + pelvis) @ _Y_FROM_Z.T - pelvis
        return replace(self, poses=poses.astype(np.float32), trans=trans.astype(np.float32), up="Y")

    def with_joints(self, count: int) -> MotionClip:
        """The clip for a body of `count` joints; hands that the clip knows nothing of are relaxed.

        From joint 22 on SMPL's families disagree: hands in SMPL (24), fingers in SMPL-H (52), jaw and eyes before the
        fingers in SMPL-X (55), which rest here where the clip has none. Fingers that never move from the flat hand were
        not recorded: most AMASS files are such. A body without fingers keeps its hands straight.
        """
        poses = np.zeros((len(self), count, 3), np.float32)
        poses[:, :BODY_JOINTS] = self.poses[:, :BODY_JOINTS]
        if self.poses.shape[1] == count:
            poses = self.poses.copy()
        elif count > 24 and self.poses.shape[1] in LAYOUTS:
            poses = with_joints(self.poses, count).copy()
        if count > 24:
            for hand, relaxed in zip((slice(-30, -15), slice(-15, None)), np.split(RELAXED_FINGERS, 2), strict=True):
                if not poses[:, hand].any():
                    poses[:, hand] = relaxed
        return replace(self, poses=poses)

    def resampled(self, fps: float) -> MotionClip:
        """The clip at another frame rate, rotations interpolated along the shorter arc."""
        if abs(fps - self.fps) < 1e-6 or len(self) < 2:
            return self
        times = np.arange(0, (len(self) - 1) / self.fps + 1e-9, 1 / fps) * self.fps
        low = np.minimum(times.astype(int), len(self) - 2)
        share = times - low
        start = rodrigues(self.poses[low].astype(np.float64))
        turn = axis_angle(np.swapaxes(start, -1, -2) @ rodrigues(self.poses[low + 1].astype(np.float64)))
        poses = axis_angle(start @ rodrigues(turn * share[:, None, None])).astype(np.float32)
        trans = self.trans[low] * (1 - share[:, None]) + self.trans[low + 1] * share[:, None]
        return replace(self, poses=poses, trans=trans.astype(np.float32), fps=float(fps))


def _refuse(path: Path, what: str) -> LikenessError:
    return LikenessError("motion.unreadable", f"{path.name}: {what}.", "Choose an AMASS .npz file, or a shipped clip.")


def read_clip(path: Path) -> MotionClip:
    """Read an AMASS-style file: `poses` (T, 3J or J, 3), `trans` (T, 3), `mocap_framerate`, `up` (absent means 'Z').

    Raises LikenessError("motion.unreadable").
    """
    path = Path(path)
    data = read_npz(path, "motion.unreadable")
    if "poses" not in data or "trans" not in data:
        raise _refuse(path, "holds no poses and trans, so it is not a motion clip")
    try:
        poses = np.asarray(data["poses"], np.float32)
        trans = np.asarray(data["trans"], np.float32)
        rate = data.get("mocap_framerate", data.get("mocap_frame_rate"))
        fps = 30.0 if rate is None else float(np.asarray(rate, np.float64).reshape(-1)[0])
        poses = poses.reshape(len(poses), -1, 3)
    except (TypeError, ValueError) as error:
        raise _refuse(path, f"its arrays cannot be understood ({error})") from error
    if not 0 < len(poses) <= MAX_FRAMES or trans.shape != (len(poses), 3) or poses.shape[1] < 22:
        raise _refuse(path, f"its arrays have the shapes {poses.shape} and {trans.shape}")
    if not (np.isfinite(poses).all() and np.isfinite(trans).all() and 1 <= fps <= 1000):
        raise _refuse(path, "it holds numbers that are not usable")
    text = {k: str(data[k]) for k in ("up", "name", "source", "licence") if k in data}
    up = text.get("up", "Z")
    if up not in ("Y", "Z"):
        raise _refuse(path, f"its up axis is {up!r} and not Y or Z")
    return MotionClip(
        poses, trans, fps, up, text.get("name") or path.stem, text.get("source", ""), text.get("licence", "")
    )


def write_clip(path: Path, clip: MotionClip) -> None:
    """Write the file that read_clip reads, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        poses=clip.poses.reshape(len(clip), -1).astype(np.float32),
        trans=clip.trans.astype(np.float32),
        mocap_framerate=np.float64(clip.fps),
        up=np.array(clip.up),
        name=np.array(clip.name),
        source=np.array(clip.source),
        licence=np.array(clip.licence),
    )
    write_bytes(Path(path), buffer.getvalue())


def list_clips() -> dict[str, Path]:
    """Names and files of the clips that ship, sorted by name."""
    return {path.stem: path for path in sorted(CLIPS.glob("*.npz"))}


def find_clip(name: str) -> MotionClip:
    """A clip by the name of a shipped one or by a file's path. Raises LikenessError("motion.unknown")."""
    shipped = list_clips()
    if name in shipped:
        return read_clip(shipped[name])
    if Path(name).is_file():
        return read_clip(Path(name))
    raise LikenessError(
        "motion.unknown", f"There is no clip named {name}.", f"Choose a file, or one of: {', '.join(shipped)}."
    )
