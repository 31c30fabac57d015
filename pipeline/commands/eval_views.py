"""``cosmorama eval views``: generated views against true ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

if TYPE_CHECKING:
    from torch import Tensor

    from ..diffusion.groups import PosedViews

Method = Literal["ours", "warp", "warp_inpaint", "warp_smooth", "filling"]


@dataclass(frozen=True)
class EvalViews:
    """Generate the other views of scenes from their first one, and compare with the truth and with baselines.

    DATA is a folder of `cosmorama train world --shots around` or of RGB-D frames: frame-*.color.jpg, frame-*.depth.png
    (millimetres), frame-*.pose.txt (camera to world, OpenCV axes) and camera-intrinsics.txt.
    """

    data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """The folder."""
    model: Path | None = None
    """views.safetensors; default the shipped one."""
    filling: Path | None = None
    """filling.safetensors that the model was trained with; default the shipped one."""
    codec: Path | None = None
    """codec.safetensors; default the shipped one."""
    depth_model: str | None = None
    """Estimate the given view's depth instead of using the true one; its median is set to the true one's."""
    held_out: bool = True
    """Of a synthetic world take only the scenes that training leaves out; no, if it was never trained on."""
    scenes: int = 20
    """At most so many scenes or pairs."""
    views: int = 6
    """Per synthetic scene, the given one included."""
    every: int = 1
    """Distance between the two RGB-D frames of a pair."""
    size: tuple[int, int] = (128, 128)
    """Width and height."""
    steps: int | None = None
    """Of the sampler; default that of the generator."""
    noise: float = 1.0
    """Scale of the starting noise, 0..1."""
    methods: tuple[Method, ...] = get_args(Method)
    """Which to judge: this model, the baselines, and the model's filling without its denoiser."""
    textured: bool = False
    """Let soft answers have the texture of what surrounds them, as `cosmorama make` does."""
    sheet: Path | None = None
    """Folder for pictures: truth, ours, coverage."""
    seed: int = 0
    json: bool = False
    """Print one JSON object on stdout."""

    def run(self) -> None:
        """Evaluate."""
        from ..diffusion.baselines import FillingGenerator, SmoothGenerator, TeleaGenerator, WarpGenerator
        from ..diffusion.evaluation import evaluate_generator
        from ..diffusion.generator import SamplingConfig, load_view_generator

        config = SamplingConfig(steps=self.steps or SamplingConfig.steps, noise=self.noise)
        ours = load_view_generator(model=self.model, codec=self.codec, filling=self.filling, config=config)
        scenes = list(self._scenes())
        generators = {
            "ours": ours,
            "warp": WarpGenerator(),
            "warp_inpaint": TeleaGenerator(),
            "warp_smooth": SmoothGenerator(),
            "filling": FillingGenerator(ours.filling),
        }
        report: dict[str, object] = {"scenes": len(scenes), "views": sum(len(s) - 1 for s in scenes)}
        for name in self.methods:
            generator = generators[name]
            sheet = self._write_sheet if self.sheet and name == "ours" else None
            report[name] = evaluate_generator(
                generator, scenes, seed=self.seed, textured=self.textured and generator.soft, on_sheet=sheet
            )
            print(f"{name}: {report[name]}", file=sys.stderr)
        if self.json:
            print(json.dumps(report))

    def _scenes(self) -> Iterator[PosedViews]:
        from itertools import islice

        from ...reconstruct.errors import InputError
        from ..diffusion.evaluation import rgbd_pairs
        from ..diffusion.sources import world_scenes
        from ..latents.photos import is_held_out
        from ..world import WorldDataset

        width, height = self.size
        if any(self.data.glob("shard-*.zip")):
            scenes = world_scenes(WorldDataset(self.data), views=self.views, width=width, height=height)
            scenes = (s for s in scenes if is_held_out(s.name) or not self.held_out)
        else:
            scenes = rgbd_pairs(self.data, width=width, height=height, every=self.every)
        found = [self._with_estimated_depth(scene) for scene in islice(scenes, self.scenes)]
        if not found:
            raise InputError(f"{self.data} holds no held-out scene with {self.views} views in a shot")
        return iter(found)

    def _with_estimated_depth(self, scene: PosedViews) -> PosedViews:
        if self.depth_model is None:
            return scene
        from ..depth import load_depth_estimator

        estimate = load_depth_estimator(self.depth_model)(
            scene.images[0], float(scene.cameras.intrinsics[0, 0, 0])
        )
        known = scene.depth[0] > 0
        depth = scene.depth.clone()
        depth[0] = estimate.depth_m * (scene.depth[0][known].median() / estimate.depth_m[known].median())
        return replace(scene, depth=depth)

    def _write_sheet(self, number: int, truth: Tensor, views: Tensor, coverage: Tensor) -> None:
        import torch
        from PIL import Image

        from ..diffusion.sheets import sheet_rows

        assert self.sheet is not None
        self.sheet.mkdir(parents=True, exist_ok=True)
        first = truth[:1]
        rows = sheet_rows(
            [
                truth,
                torch.cat([first, views]),
                torch.cat([first * 0 + 1, coverage[..., None].expand_as(views)]),
            ]
        )
        Image.fromarray((rows.clamp(0, 1) * 255).round().byte().numpy()).save(
            self.sheet / f"{number:03d}.png"
        )
