"""``cosmorama render``: pictures of a scene from any cameras, without a screen."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Render:
    """Render a scene from given cameras; one PNG per camera, and depth if asked for."""

    scene: Annotated[Path, tyro.conf.Positional]
    """A scene folder or a splat file."""
    cameras: Path
    """A nerfstudio transforms.json in the scene's world."""
    out: Path
    """Folder for the pictures and cameras.json, which tells where they were taken; made if it is not there."""
    depth: bool = False
    """Also write expected z depth in scene units: NAME.depth.npy, float32, 0 where there is nothing."""
    force: bool = False
    """Replace a folder of rendered pictures."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Render camera by camera."""
        from ...reconstruct.scene import load_scene
        from ...reconstruct.transforms_json import read_transforms
        from ..progress import Reporter
        from ..render import render_to_folder

        scene, images = load_scene(self.scene), read_transforms(self.cameras)
        reporter = Reporter()
        with reporter.stage("render") as advance:
            names = render_to_folder(
                scene, images, self.out, depth=self.depth, overwrite=self.force,
                made_from=(self.scene, self.cameras), on_progress=advance,
            )  # fmt: skip
        if self.json:
            seconds = reporter.seconds["render"]
            json.dump({"out": str(self.out), "files": names, "seconds": seconds}, sys.stdout, indent=1)
            print(flush=True)
