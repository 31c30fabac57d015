"""How near a mesh comes to surfaces that are known exactly, and how well its texture shows them.

    python tests/benchmarks/mesh_quality.py [--splats exact fitted surface] [--iterations 1500] [--pictures FOLDER]

A textured room with a ball and a crate, seen from 24 cameras; ``exact`` splats lie on the surfaces, ``fitted`` ones
come from fitting the 24 pictures, ``surface`` ones from fitting with the losses of ``cosmorama fit --surface``. Errors
are means over the mesh's area, relative to the room's diagonal; texture PSNR is over the 24 views. Prints one JSON
object."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cosmorama.reconstruct.fit import FitConfig, GradientGrowth, fit_gaussians, splats_from_views
from cosmorama.reconstruct.fit.config import SurfaceLosses
from cosmorama.reconstruct.fit.initialise import match_views, sure_depths
from cosmorama.reconstruct.gaussians import Gaussians
from cosmorama.reconstruct.mesh.build import MeshOptions, build_mesh
from cosmorama.reconstruct.mesh.render import ray_scene, render_mesh
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.reconstruct.views import Views

sys.path.append(str(Path(__file__).parent.parent / "helpers"))
import known_scene as known


def splats_of(kind: str, iterations: int, width: int) -> Gaussians:
    """Where the mesh comes from; see above."""
    if kind == "exact":
        return known.exact_splats(60_000)
    cameras = known.cameras(24, width, width * 3 // 4)
    views = Views(cameras, known.photos(cameras)[0])
    maps = match_views(views)
    depths = sure_depths(maps, cameras) if kind == "surface" else None
    config = FitConfig(
        iterations=iterations,
        growth=GradientGrowth(max_splats=30_000),
        resolutions=((0.2, 4), (0.6, 2)) if width >= 256 else ((0.4, 2),),
        surface=SurfaceLosses() if kind == "surface" else None,
        sh_degree=1,
    )
    first = splats_from_views(views, count=15_000, maps=maps)
    return fit_gaussians(first, cameras, views.images, config=config, depths=depths).gaussians


def measure(kind: str, iterations: int, width: int, pictures: Path | None) -> dict[str, Any]:
    """All numbers for one kind of splats."""
    began = time.process_time()
    splats = splats_of(kind, iterations, width)
    fitted = time.process_time()
    views = known.cameras(24, width, width * 3 // 4)
    scene = Scene(splats, views=images_from_cameras(views))
    built = build_mesh(scene, MeshOptions(faces=40_000, long_side=2 * width))
    done = time.process_time()
    mesh, rays = built.mesh, ray_scene(built.mesh)
    error = known.distance(torch.from_numpy(mesh.corners.mean(1))).numpy()
    order, areas = np.argsort(error), mesh.areas / mesh.areas.sum()
    images, depths = known.photos(views)
    psnr, missing, depth_error = [], [], []
    for i, camera in enumerate(views):
        shown, depth = render_mesh(mesh, camera, scene=rays)
        psnr.append(float(-10 * torch.log10((shown - images[i]).square().mean())))
        missing.append(float((depth == 0).float().mean()))
        depth_error.append(float((depth - depths[i]).abs()[depth > 0].mean()))
        if pictures is not None and i % 6 == 1:
            clay, _ = render_mesh(mesh, camera, scene=rays, clay=True)
            both = (torch.cat([images[i], shown, clay], 1) * 255).byte().numpy()
            Image.fromarray(both).save(pictures / f"{kind}_{i:02d}.png")
    return {
        "splats": len(splats),
        "faces": len(mesh.faces),
        "mean_error_percent": round(100 * float((error * areas).sum()) / known.DIAMETER, 4),
        "p95_error_percent": round(
            100 * float(error[order][np.searchsorted(areas[order].cumsum(), 0.95)]) / known.DIAMETER, 4
        ),
        "depth_error_percent": round(100 * float(np.mean(depth_error)) / known.DIAMETER, 4),
        "missing_percent": round(100 * float(np.mean(missing)), 3),
        "texture_psnr": round(float(np.mean(psnr)), 2),
        "fit_cpu_seconds": round(fitted - began, 1),
        "mesh_cpu_seconds": round(done - fitted, 1),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splats", nargs="+", default=["exact", "fitted", "surface"])
    parser.add_argument("--iterations", type=int, default=1500)
    parser.add_argument("--width", type=int, default=320, help="of the 24 pictures")
    parser.add_argument(
        "--pictures", type=Path, help="existing folder for truth, texture and shape side by side"
    )
    options = parser.parse_args()
    result = {k: measure(k, options.iterations, options.width, options.pictures) for k in options.splats}
    json.dump({"diameter": round(known.DIAMETER, 3), **result}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
