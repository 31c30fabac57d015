"""How deep what one view hides is believed to lie, against the truth of synthetic rooms.

    python tests/benchmarks/hidden_depth.py WORLD [SCENES] [SPOILT]

WORLD is a folder of ``cosmorama train world --shots around``; SPOILT (0 to 1) gives the photo's depth errors. Printed
are the mean error of log-depth and the share within a quarter, for depth continued smoothly and as the scene is grown.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import torch

from cosmorama.pipeline.diffusion.memory import spoil_depth
from cosmorama.pipeline.diffusion.sources import world_scenes
from cosmorama.pipeline.generators import ViewRequest
from cosmorama.pipeline.growth.pieces import missing_piece, show
from cosmorama.pipeline.world import WorldDataset
from cosmorama.reconstruct.depth_completion import complete_depth
from cosmorama.reconstruct.lift import lift
from cosmorama.reconstruct.planes import PhotoPlanes

WITHIN = 0.22314  # log 1.25


def main() -> None:
    world, count, spoilt = (
        Path(sys.argv[1]),
        int((sys.argv[2:3] or ["40"])[0]),
        float((sys.argv[3:4] or ["0"])[0]),
    )
    errors: dict[str, list[torch.Tensor]] = {"smooth": [], "grown": []}
    scenes = world_scenes(WorldDataset(world), views=8, width=128, height=128)
    for number, scene in enumerate(islice(scenes, count)):
        generator = torch.Generator().manual_seed(number)
        photo, camera = scene.images[0], scene.cameras[0]
        depth = spoil_depth(scene.depth[0], generator=generator, strength=spoilt)
        surface, planes = lift(photo, depth, camera), PhotoPlanes.of(depth, camera)
        for index in range(1, len(scene)):
            view = scene.cameras[[index]]
            memory, alpha = show(surface, view)
            known = memory.known[0]
            if known.all() or not known.any():
                continue
            request = ViewRequest(view, memory, photo[None], camera, 0, photo_depths=depth[None])
            answers = {
                "smooth": complete_depth(memory.depth[0], known, request.support[0]),
                "grown": missing_piece(request, alpha, scene.images[index], planes).depth,
            }
            for name, answer in answers.items():
                errors[name].append((answer[~known] / scene.depth[index][~known]).log().abs())
    for name, parts in errors.items():
        all_errors = torch.cat(parts)
        within = float((all_errors < WITHIN).float().mean())
        print(
            f"{name}: log-depth off by {float(all_errors.mean()):.3f}, {100 * within:.1f} % within a quarter"
        )


if __name__ == "__main__":
    main()
