"""``cosmorama doctor``: what is here, and what is missing for the rest."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Doctor:
    """Tell which hardware, backends, weights and licences are here, and what is missing."""

    json: bool = False
    """One JSON object on stdout."""

    def run(self) -> None:
        """Look and tell; changes nothing and fetches nothing."""
        from ..doctor import examine, lines

        found = examine()
        if self.json:
            json.dump(found, sys.stdout, indent=1)
            print()
        else:
            print("\n".join(lines(found)))
