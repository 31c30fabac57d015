import json

import pytest

from cosmorama.pipeline import doctor


def test_it_tells_what_is_there():
    found = doctor.examine()
    json.dumps(found)  # plain data
    assert found["hardware"]["cores"] >= 1
    assert found["extras"]["photo"]["packages"]["transformers"] is not None
    text = "\n".join(doctor.lines(found))
    assert found["version"] in text
    assert "Apache-2.0" in text


def test_it_tells_what_is_missing(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "photo", ({"no-such-package": "no_such_package"}, "photos"))
    text = "\n".join(doctor.lines(doctor.examine()))
    assert "missing no-such-package: pip install 'cosmorama[photo]'" in text


def test_what_needs_a_gpu_is_not_ok_without_one():
    found = doctor.examine()
    found["extras"]["gpu"]["packages"] = {"gsplat": "1.5.3"}
    for gpu, state in ((None, "no use here"), ("H200", ": ok")):
        found["hardware"]["gpu"] = gpu
        assert state in next(line for line in doctor.lines(found) if line.startswith("  gpu "))


def test_it_fetches_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("COSMORAMA_CACHE", str(tmp_path))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("something was fetched"))
    states = [w["state"] for w in doctor.examine()["weights"]]
    assert any("fetched when first needed" in state for state in states)
    assert not list(tmp_path.iterdir())
