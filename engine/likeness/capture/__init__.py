"""Files from outside to captures: RGB-D readers, photographs, masks, registration."""

from .inspection import inspect
from .photo import read_photo
from .rgbd import read_capture

__all__ = ["inspect", "read_capture", "read_photo"]
