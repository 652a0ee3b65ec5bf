"""What the readers accept at most and at least. Every number is checked against a header before memory is taken."""

from __future__ import annotations

#: A file from outside is read whole, so that what is hashed is what is decoded.
MAX_FILE_BYTES = 512 * 2**20
#: Calibration files are a few kilobytes; a real Azure Kinect one has 10.
MAX_TEXT_BYTES = 4 * 2**20
#: 64 megapixels: above every phone's normal mode, below what 2 GB of memory can hold in floats.
MAX_PIXELS = 64 * 10**6
MAX_SIDE_PX = 16384
#: Below this there is no face, no hand and no fit.
MIN_SIDE_PX = 64
#: Longest side that is worked on; textures have 4096 pixels at most.
MAX_WORK_SIDE_PX = 4096
MAX_ARCHIVE_MEMBERS = 20000
MAX_UNPACKED_BYTES = 512 * 2**20

#: Depth sensors for people see from arm's length to the end of a room.
MIN_DEPTH_M = 0.15
MAX_DEPTH_M = 10.0
#: A small child sitting to a tall person with raised arms.
MIN_STATURE_M = 0.4
MAX_STATURE_M = 2.6
