"""Reading captures: posed photos as nerfstudio, instant-ngp, Blender or COLMAP leave them."""
