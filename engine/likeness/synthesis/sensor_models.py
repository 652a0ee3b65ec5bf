"""Depth sensors in numbers: resolution, field of view, baselines and errors, each constant with where it comes from.

Sources, by the names used below.
[datasheet]: the maker's published data sheet or device documentation.
[Nguyen 2012] Nguyen, Izadi, Lovell: Modeling Kinect sensor noise for improved 3D reconstruction and tracking, 3DIMPVT.
[Khoshelham 2012] Khoshelham, Elberink: Accuracy and resolution of Kinect depth data, Sensors 12.
[Handa 2014] Handa et al.: A benchmark for RGB-D visual odometry, 3D reconstruction and SLAM, ICRA.
[Fankhauser 2015] Fankhauser et al.: Kinect v2 for mobile robot navigation, ICAR.
[Sarbolandi 2015] Sarbolandi, Lefloch, Kolb: Kinect range sensing: structured light versus time of flight, CVIU 139.
[Toelgyessy 2021] Toelgyessy et al.: Evaluation of the Azure Kinect and its comparison to Kinect v1 and v2, Sensors 21.
[Grunnet-Jepsen] Grunnet-Jepsen, Sweetser, Woodfill: Best-known methods for tuning D400 depth cameras, white paper.
[Luetzenburg 2021] Luetzenburg, Kroon, Bjork: Evaluation of the Apple iPhone 12 Pro LiDAR, Scientific Reports 11.
[realism]: set by us in general terms to close the largest gaps of benchmarks/realism.py (how wide the grain of Kinect
v2 is, how few mixed pixels drivers leave, how rarely eyes and steep surfaces are lost to time of flight).
[ours]: judged by us from the working principle; no published figure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

Family = Literal["ideal", "flight", "triangulation", "lidar", "estimate"]


@dataclass(frozen=True)
class Sensor:
    """A depth sensor and its errors. Axes as OpenCV: x right, y down, z forward, metres.

    family: how it measures. width, height, focal_px: of its own picture, principal point in the middle; 0 takes the
    colour camera's. origin_m: of the depth camera in the colour camera's axes. baseline_m: x of the pattern projector
    or second imager in the depth camera's axes (0: none). range_m: nearest and farthest reading. turned: held upright,
    so that its rows run down the person's picture.

    Axial noise, standard deviation in millimetres at reflectivity one half: noise_mm[0] + noise_mm[1] z +
    noise_mm[2] z^2 + grazing_noise_mm z^1.5 (theta^2 / (pi/2 - theta)^2). For triangulation with
    noise_px > 0 it is z^2 noise_px / (focal baseline) instead. grain_px: width of the window over which noise is
    correlated. bias_mm: offset, uniform within +-bias, drawn once. wiggle_mm: standard deviation of a smooth error.
    multipath_mm: most that a hollow is pushed away.

    step_px: disparity step (0: none). window_px: matching window, which blurs detail and fattens edges. spot_px: blur
    of the optics within which front and back mix. jump_m: a larger step between neighbours is an edge. lost_edge:
    share of mixed edge pixels that the sensor's own filter drops. dark: infrared reflectivity at 2 m where half the
    readings fail. grazing_deg: incidence where half fail. specular: share lost on glass and eyes. dropout: share of
    stray single losses. millimetres: readings are whole millimetres.

    rotation_deg, shift_m: standard deviations of the calibration error between depth and colour (cut at 0.3 degrees and
    twice the shift); lag_px: of the picture's shift by motion between the two exposures. spread: every error is scaled
    by a factor uniform within 1 +- spread, drawn once a reading.
    """

    name: str
    family: Family
    width: int = 0
    height: int = 0
    focal_px: float = 0.0
    origin_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    baseline_m: float = 0.0
    range_m: tuple[float, float] = (0.0, 1e3)
    turned: bool = False
    noise_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    grazing_noise_mm: float = 0.0
    noise_px: float = 0.0
    grain_px: float = 1.0
    bias_mm: float = 0.0
    wiggle_mm: float = 0.0
    multipath_mm: float = 0.0
    step_px: float = 0.0
    window_px: int = 1
    spot_px: float = 0.0
    jump_m: float = 0.05
    lost_edge: float = 0.0
    dark: float = 0.0
    grazing_deg: float = 90.0
    specular: float = 0.0
    dropout: float = 0.0
    millimetres: bool = True
    rotation_deg: float = 0.0
    shift_m: float = 0.0
    lag_px: float = 0.0
    spread: float = 0.5

    def upright(self) -> Sensor:
        """The same sensor held by its short side, turned with the colour camera."""
        return replace(self, turned=not self.turned)


# Extrinsics between depth and colour drift with heat and handling; factory errors are of this order [ours].
_CALIBRATION: dict[str, Any] = {"rotation_deg": 0.1, "shift_m": 0.0015, "lag_px": 0.5}

_KINECT_V1 = Sensor(
    "kinect_v1",
    "triangulation",
    # Depth camera 580 px at 640 x 480, projector 75 mm to its right, colour 25 mm [Khoshelham 2012].
    width=640,
    height=480,
    focal_px=580.0,
    origin_m=(-0.025, 0.0, 0.0),
    baseline_m=0.075,
    range_m=(0.5, 5.0),
    # Half of the disparity step of 1/8 px, all errors together [Khoshelham 2012]; near the 1.2 + 1.9 (z - 0.4)^2 mm of
    # [Nguyen 2012] from 1.5 m on, and below it on what is nearer.
    noise_px=1 / 16,
    step_px=1 / 8,
    # 9 x 9 correlation window of the dot pattern [Handa 2014]; neighbouring windows overlap and err alike.
    window_px=9,
    grain_px=9.0,
    wiggle_mm=2.0,
    dark=0.06,
    grazing_deg=77.0,
    specular=0.8,
    dropout=0.0005,
    **_CALIBRATION,
)
_KINECT_V2 = Sensor(
    "kinect_v2",
    "flight",
    # 512 x 424, 70 x 60 degrees [datasheet]; focal 365 px and 52 mm to the colour camera [Sarbolandi 2015].
    width=512,
    height=424,
    focal_px=365.0,
    origin_m=(-0.052, 0.0, 0.0),
    range_m=(0.5, 4.5),
    # 1.5 - 0.5 z + 0.3 z^2 mm axial, 1.6 mm (0.3 px at 2 m) lateral [Fankhauser 2015].
    noise_mm=(1.5, -0.5, 0.3),
    grazing_noise_mm=0.1,
    # The driver filters phases over neighbours before depth [Sarbolandi 2015; window: realism].
    grain_px=4.0,
    # Systematic wiggling of several millimetres and centimetres in corners [Sarbolandi 2015]; people are no corners.
    bias_mm=5.0,
    wiggle_mm=1.5,
    multipath_mm=8.0,
    # Sharp optics and the driver's own edge filter leave few mixed pixels within the outline [realism].
    spot_px=0.33,
    lost_edge=0.6,
    dark=0.07,
    grazing_deg=84.0,
    specular=0.15,
    dropout=0.0001,
    **_CALIBRATION,
)
_AZURE = Sensor(
    "azure_kinect",
    "flight",
    # NFOV unbinned: 640 x 576, 75 x 65 degrees, 0.5 to 3.86 m at 15 %, farther on brighter things [datasheet].
    width=640,
    height=576,
    focal_px=504.0,
    origin_m=(-0.032, -0.002, 0.004),
    range_m=(0.5, 5.46),
    # 0.7 + 0.3 z^2 mm: below the 17 mm of the data sheet, near measured figures [Toelgyessy 2021; curve ours].
    noise_mm=(0.7, 0.0, 0.3),
    grazing_noise_mm=0.1,
    grain_px=2.0,
    # Systematic error < 11 mm + 0.1 % [datasheet].
    bias_mm=5.0,
    wiggle_mm=1.5,
    multipath_mm=8.0,
    spot_px=0.33,
    # The sensor invalidates most mixed pixels itself [datasheet: multi-path, saturated and weak pixels are dropped].
    lost_edge=0.7,
    dark=0.08,
    grazing_deg=82.0,
    specular=0.15,
    dropout=0.0001,
    **_CALIBRATION,
)
_D435 = Sensor(
    "realsense_d435",
    "triangulation",
    # 848 x 480 over 90 degrees, imagers 50 mm apart, colour 15 mm left of the left imager [datasheet].
    width=848,
    height=480,
    focal_px=424.0,
    origin_m=(0.015, 0.0, 0.0),
    baseline_m=0.050,
    range_m=(0.28, 8.0),
    # Subpixel RMS 0.05 (good) to 0.1 px, step 1/32 px, census windows of 7 px [Grunnet-Jepsen].
    noise_px=0.06,
    step_px=1 / 32,
    window_px=7,
    grain_px=7.0,
    wiggle_mm=3.0,
    dark=0.03,
    grazing_deg=80.0,
    specular=0.6,
    dropout=0.0005,
    **_CALIBRATION,
)
_LIDAR = Sensor(
    "phone_lidar",
    "lidar",
    # 256 x 192 on the wide camera, delivered in its axes [datasheet]; about 63 degrees across.
    width=256,
    height=192,
    focal_px=210.0,
    range_m=(0.2, 5.0),
    # 1 cm for objects of more than 10 cm [Luetzenburg 2021]; 24 x 24 dots spread by the colour picture [ours].
    noise_mm=(0.0, 4.0, 0.0),
    grain_px=10.0,
    bias_mm=6.0,
    window_px=7,
    spot_px=0.8,
    dropout=0.0,
    millimetres=False,
    lag_px=0.3,
)

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        Sensor("ideal", "ideal", millimetres=False, spread=0.0),
        _KINECT_V1,
        _KINECT_V2,
        _AZURE,
        # 2 x 2 binned: half the pixels, four times the light in each [datasheet]; so half the noise.
        replace(_AZURE, name="azure_kinect_binned", width=320, height=288, focal_px=252.0, noise_mm=(0.35, 0.0, 0.15)),
        _D435,
        # The larger picture halves the footprint; the disparity error in pixels stays [Grunnet-Jepsen].
        replace(_D435, name="realsense_d435_hd", width=1280, height=720, focal_px=640.0, range_m=(0.45, 8.0)),
        # D455: 95 mm baseline, 87 degrees, colour 59 mm from the left imager [datasheet].
        replace(
            _D435,
            name="realsense_d455",
            focal_px=447.0,
            baseline_m=0.095,
            origin_m=(0.059, 0.0, 0.0),
            range_m=(0.52, 8.0),
        ),
        _LIDAR,
        Sensor("estimate", "estimate", millimetres=False),
    )
}
