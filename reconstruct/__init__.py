"""Geometry that stands alone: cameras, Gaussian splats, rasterizers, fitting, meshes and files.

Nothing in here knows of photos-to-scenes or diffusion; it is useful to anyone with posed photos.
"""

import os

# After each operation torch's OpenMP threads wait busily for the next one, by default for milliseconds, and take the
# cores from the rasterizer's own threads: an optimisation step takes a third longer. A short wait leaves networks as
# fast as they are. Heeded only if torch is imported later than this.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
