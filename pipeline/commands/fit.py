"""``cosmorama fit``: photos into a scene folder, without generation."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from ..fit_options import FitOptions


@dataclass(frozen=True)
class Fit(FitOptions):
    """Fit splats to photos: a nerfstudio, instant-ngp, Blender or COLMAP capture, a folder of photos or a clip."""

    out: Path | None = None
    """The scene folder; default scenes/NAME."""
    resume: bool = False
    """Go on from the checkpoint that an interrupted run left beside the scene folder."""
    force: bool = False
    """Replace a scene folder."""
    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Fit, write the scene folder, report."""
        from ...reconstruct.errors import InputError
        from ...reconstruct.files import atomic_folder
        from ...reconstruct.files.replacing import SCENE, check_replaceable
        from ...reconstruct.fit import FitError, save_fit
        from ..fit import checkpoint_of, fit_and_report
        from ..progress import Reporter

        out = self.out or Path("scenes") / self.capture.resolve().stem
        if out.exists() and not self.force:
            raise InputError(f"{out} exists already; it is only replaced with --force")
        check_replaceable(out, SCENE, (self.capture,))
        reporter = Reporter()
        checkpoint = checkpoint_of(out)
        try:
            fit, report = fit_and_report(self, reporter, checkpoint=checkpoint, resume=self.resume)
        except FitError as error:
            raise InputError(f"{error}; the state before that step is in {checkpoint}") from error
        with atomic_folder(out, overwrite=self.force) as folder:
            save_fit(
                folder, fit, {"made_by": "cosmorama fit", "capture": self.capture.name, "report": report}
            )
        checkpoint.unlink(missing_ok=True)
        quality = "" if report["test_psnr"] is None else f", {report['test_psnr']:.2f} dB on held-out photos"
        reporter.note(f"{out}: {report['splats']} splats, {report['seconds']:.0f} s{quality}")
        if self.json:
            json.dump({**report, "out": str(out)}, sys.stdout, indent=1)
            print(flush=True)
