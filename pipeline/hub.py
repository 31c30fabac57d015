"""Whether the model hub can be reached, asked before its client tries again and again and warns each time."""

from __future__ import annotations

import urllib.error
import urllib.request

SECONDS = 5.0
"""To wait for an answer."""


def hub_answers() -> bool:
    """Whether the hub, or the mirror that ``HF_ENDPOINT`` names, answers; False where it shall not be asked."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=SECONDS)
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True
