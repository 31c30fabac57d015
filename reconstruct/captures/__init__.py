"""Reading captures: posed photos as nerfstudio, instant-ngp, Blender or COLMAP leave them."""

from .colmap import SparseCloud, read_colmap
from .load import Capture, load_capture, split_held_out
from .up_axis import estimate_up

__all__ = ["Capture", "SparseCloud", "estimate_up", "load_capture", "read_colmap", "split_held_out"]
