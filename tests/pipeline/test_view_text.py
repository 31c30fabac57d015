import os
import sys
from types import SimpleNamespace

import torch

from cosmorama.pipeline.diffusion import text


def test_sentences_are_encoded_offline_without_touching_the_environment(monkeypatch, tmp_path):
    loaded = {}

    class Model:
        @classmethod
        def from_pretrained(cls, folder, **options):
            loaded.update(options, folder=folder)
            return cls()

        def eval(self):
            return self

        def requires_grad_(self, _):
            return self

        def __call__(self, **encoded):
            return SimpleNamespace(last_hidden_state=torch.ones(1, 5, text.TEXT_CHANNELS))

    def tokenizer(**_):
        return lambda sentence, **options: {"input_ids": sentence}

    stand_in = SimpleNamespace(AutoModel=Model, PreTrainedTokenizerFast=tokenizer)
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    monkeypatch.setattr(text, "fetch_files", lambda _: [tmp_path / "config.json"])
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    text._encoder.cache_clear()
    try:
        features = text.encode_text("a room")
    finally:
        text._encoder.cache_clear()
    assert features.shape == (text.TOKENS, text.TEXT_CHANNELS)
    assert features[:5].eq(1).all()
    assert features[5:].eq(0).all()
    assert loaded == {"local_files_only": True, "folder": tmp_path}
    assert "HF_HUB_OFFLINE" not in os.environ
