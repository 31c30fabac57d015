"""``cosmorama setup``: everything that is done once, so that later runs are quick and need no network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setup:
    """Fetch the weights that are not shipped and compile kernels; both are kept."""

    def run(self) -> None:
        """Fetch and compile what is missing."""
        from ..progress import Reporter
        from ..setup import compile_kernels, fetch_weights

        reporter = Reporter()
        with reporter.stage("weights"):
            fetch_weights()
        with reporter.stage("kernels"):
            compile_kernels()
