"""``cosmorama make``: photos into a scene folder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ...viewer import LiveSession
    from ..make_options import MakeOptions
    from ..progress import Reporter


@dataclass(frozen=True)
class Make:
    """Turn a photo, or several of one place, into a place to walk through."""

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO")]
    """One photo, or several of one place, a folder of them, or a clip (needs the sfm extra); none with --text."""
    text: str | None = None
    """What the photo shows, for generators that read text. Without a photo: the place to build, in English. Rooms,
    streets and gardens of the synthetic world, with the things, colours, materials and sides that the sentence names,
    as far as the furniture catalogue has them; what it does not have is told."""
    generator: Literal["inpaint", "views", "sana", "world"] | None = None
    """What fills that which the photo does not show. inpaint: patches of the photo along a smooth filling, nothing
    learned (default). views: the bundled diffusion model. sana: a large world model, for a GPU and a model hub. world:
    places built and rendered from --text (default without a photo; needs the world extra and, once, 114 MB of
    furniture)."""
    preset: Literal["draft", "standard", "fine"] = "standard"
    """How much work goes into it."""
    trajectory: str = "orbit"
    """orbit, spiral, dolly, pan, look-around, or a transforms.json with cameras in the photo's world."""
    focal_px: float | None = None
    """Focal length in pixels of the photo file; default from EXIF, else a field of view of 60 degrees."""
    out: Path | None = None
    """The scene folder; default scenes/NAME."""
    seed: int = 0
    """Same seed, same machine, same files (but for the timings in scene.json)."""
    depth_model: str = "cosmorama"
    """The bundled network, or the name of a depth model on the transformers hub."""
    generated_weights: tuple[float, float] = (0.5, 0.25)
    """Of generated views when splats are fitted, at the start and at the end; the photo has 1. CAT4D's 1 0.5 was
    measured to cost 3.5 dB at the photo and to gain nothing elsewhere."""
    perceptual: float | None = None
    """Weight of a perceptual loss (DINOv2 features) on generated views when splats are fitted. Default: 0.1 where a
    network generated them, which makes the fit a sixth longer, otherwise 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks and splats run; auto takes a GPU if there is one."""
    view: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: True)")] = True
    """Open the viewer at once and keep it open."""
    port: int = 8080
    """Of the viewer."""
    force: bool = False
    """Replace a scene folder."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Make the scene, show it growing, and keep showing it until Ctrl-C."""
        from ...reconstruct.errors import InputError
        from ..device import pick_device
        from ..make import make_scene
        from ..make_options import MakeOptions, check_request, default_folder, expect
        from ..progress import Reporter

        if not self.inputs and not (self.text and self.text.strip()):
            raise InputError("no photo was given, and no --text that says anything")
        options = MakeOptions(
            preset=self.preset, trajectory=self.trajectory, focal_px=self.focal_px, seed=self.seed,
            depth_model=self.depth_model, text=self.text, generator=self.generator,
            generated_weights=self.generated_weights, perceptual=self.perceptual,
            device=pick_device(self.device),
        )  # fmt: skip
        out = self.out or default_folder(self.inputs[0] if self.inputs else Path("text"))
        check_request(self.inputs, out, options, overwrite=self.force)
        reporter = Reporter()
        reporter.note(expect(options, self.inputs))
        live = self._open_viewer(reporter, options) if self.view and not self.json else None
        report = make_scene(self.inputs, out, options, reporter=reporter, watcher=live, overwrite=self.force)
        reporter.note(
            f"{out}: {report.splats} splats, {report.seconds:.0f} s, {report.peak_memory_mb:.0f} MB"
        )
        if self.json:
            json.dump(asdict(report), sys.stdout, indent=1)
            print(flush=True)
        if live is None:
            reporter.note(f"Walk in it with: cosmorama view {quote(str(out))}")
        else:
            reporter.note(f"Walk in it at {live.url}; Ctrl+C ends the viewer")
            live.wait()

    def _open_viewer(self, reporter: Reporter, options: MakeOptions) -> LiveSession:
        """A viewer that shows the scene while it is made, with the time that is left."""
        from ...viewer import LiveSession
        from ..live import tell
        from ..presets import named_preset

        live = LiveSession(port=self.port, metres_per_unit=1.0, open_browser=True)
        tell(reporter, live, named_preset(options.preset))
        reporter.note(f"Watch it grow at {live.url}")
        return live
