"""Sentences as token features of MiniLM-L6 (a frozen sentence encoder of 22 M parameters)."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ...reconstruct.errors import InputError
from ..weights import MINILM, fetch_files
from .conditions import TEXT_CHANNELS

TOKENS = 24
"""Tokens kept of a sentence; shorter ones are padded with zeros."""


@torch.no_grad()
def encode_text(sentence: str) -> Float[Tensor, "24 384"]:
    """Contextual features of the sentence's tokens.

    Raises:
        InputError: the ``photo`` extra is not installed or the weights cannot be fetched.
    """
    tokenizer, model = _encoder()
    encoded = tokenizer(sentence, truncation=True, max_length=TOKENS, return_tensors="pt")
    hidden = model(**encoded).last_hidden_state[0]
    return F.pad(hidden, (0, 0, 0, TOKENS - len(hidden)))


def no_text() -> Float[Tensor, "24 384"]:
    """Stands in for a sentence where text is dropped."""
    return torch.zeros(TOKENS, TEXT_CHANNELS)


@lru_cache(maxsize=1)
def _encoder():  # transformers' types are only known where it is installed
    try:
        from transformers import AutoModel, PreTrainedTokenizerFast
    except ImportError as error:
        raise InputError(f"text needs the photo extra: pip install 'cosmorama[photo]' ({error})") from error
    folder = fetch_files(MINILM)[0].parent
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    model = AutoModel.from_pretrained(folder, local_files_only=True)
    return tokenizer, model.eval().requires_grad_(False)
