"""Reading captures: posed photos as nerfstudio, instant-ngp, Blender or COLMAP leave them."""

from .colmap import SparseCloud, read_colmap
from .load import Capture, capture_of, is_capture, load_capture, split_held_out
from .up_axis import estimate_up

__all__ = [
    "Capture",
    "SparseCloud",
    "capture_of",
    "estimate_up",
    "is_capture",
    "load_capture",
    "read_colmap",
    "split_held_out",
]
