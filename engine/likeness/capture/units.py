"""Words and numbers for the unit of depth."""

from __future__ import annotations

import math

from likeness.core.errors import LikenessError

_METRES = {
    "m": 1.0, "metre": 1.0, "meter": 1.0,
    "dm": 0.1, "decimetre": 0.1, "decimeter": 0.1,
    "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01,
    "mm": 0.001, "millimetre": 0.001, "millimeter": 0.001,
    "0.1mm": 1e-4, "tenth_mm": 1e-4, "tenth of a millimetre": 1e-4,
    "um": 1e-6, "µm": 1e-6, "micrometre": 1e-6, "micrometer": 1e-6, "micron": 1e-6,
    "in": 0.0254, "inch": 0.0254, "inches": 0.0254,
    "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
    "1/5000m": 2e-4, "tum": 2e-4,
}  # fmt: skip
#: Units that depth files are found in, with the words that an artist can give back as `--unit`.
LIKELY = ((1.0, "m"), (0.01, "cm"), (0.001, "mm"), (1e-4, "0.1mm"), (2e-4, "1/5000m"), (2.5e-4, "0.00025"))


def metres_of(unit: str | float, where: str) -> float:
    """Metres a unit from a word ("mm", "metres") or a number of metres ("0.001", 0.001).

    where: the file or option that says so, for the sentence. Raises `capture.depth_unit`.
    """
    if isinstance(unit, str):
        word = unit.strip().lower()
        for candidate in (word, word.removesuffix("s")):
            if candidate in _METRES:
                return _METRES[candidate]
        try:
            number = float(word)
        except ValueError:
            number = math.nan
    else:
        number = math.nan if isinstance(unit, bool) else float(unit)
    if not math.isfinite(number) or not 1e-7 <= number <= 10.0:
        raise LikenessError(
            "capture.depth_unit",
            f'{where} gives "{str(unit)[:40]}" as the unit of depth, which is not known.',
            'Give "mm", "cm", "m" or the number of metres of one unit, such as 0.001.',
        )
    return number


def metres_of_scale(scale: float, where: str) -> float:
    """Metres a unit from a `depth_scale` field.

    Ours and RealSense's is metres a unit (0.001); Open3D's and TUM's is units a metre (1000, 5000). No sensor
    counts in units of more than ten metres, so the two cannot be mixed up.
    """
    return metres_of(1.0 / scale if math.isfinite(scale) and scale > 10.0 else scale, where)
