"""Geometry that stands alone: cameras, Gaussian splats, rasterizers, fitting, meshes and files.

Nothing in here knows of photos-to-scenes or diffusion; it is useful to anyone with posed photos.
"""
