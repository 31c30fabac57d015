import base64
import gzip
import json
import re

import numpy as np
import pytest
import torch

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files.morton import morton_order
from cosmorama.reconstruct.gaussians import rotation_from_wxyz
from cosmorama.reconstruct.scene import Scene
from cosmorama.viewer import write_html
from cosmorama.viewer.quantise import BLOCK, quantise


def unquantised_positions(header, planes):
    boxes, position = planes[0], planes[1]
    block = np.arange(header["count"]) // BLOCK
    return boxes[block, :3] + position / 65535 * boxes[block, 3:]


def test_positions_come_back_to_a_fraction_of_their_block(make_gaussians):
    g = make_gaussians(1000)
    far = g.means.clone()
    far[0] = torch.tensor([1e4, 0, 0])
    g = type(g)(**{**g.tensors(), "means": far})
    header, planes = quantise(g, None, 1)
    back = unquantised_positions(header, planes)[0]
    expected = g.means[morton_order(g.means)].numpy()
    error = np.abs(back - expected).max(-1)
    assert np.median(error) < 1e-3
    assert error.max() < 0.2  # the far one and those in its block


def test_rotations_scales_and_colours_come_back(make_gaussians):
    g = make_gaussians(500, sh_degree=2)
    header, planes = quantise(g, None, 3)
    g = g[morton_order(g.means)]
    word = planes[2][0].astype(np.int64)
    missing = word >> 30
    three = (np.stack([(word >> s) & 1023 for s in (20, 10, 0)], -1) / 1023 * 2 - 1) / np.sqrt(2)
    q = np.zeros((500, 4))
    for row in range(500):
        q[row, [a for a in range(4) if a != missing[row]]] = three[row]
        q[row, missing[row]] = np.sqrt(max(0, 1 - (three[row] ** 2).sum()))
    turned = rotation_from_wxyz(torch.tensor(q).float()) @ rotation_from_wxyz(g.quats).transpose(1, 2)
    assert (turned - torch.eye(3)).abs().max() < 0.006
    low, high = header["scale_range"]
    assert np.abs(low + (high - low) * planes[3] / 255 - g.log_scales.numpy()).max() < (high - low) / 500
    low, high = header["color_range"]
    assert np.abs(low + (high - low) * planes[5] / 255 - g.sh[:, 0].numpy()).max() < (high - low) / 500
    assert len(header["sh_units"]) == 2
    first = planes[6][:3].transpose(1, 0, 2) * header["sh_units"][0]
    assert np.quantile(np.abs(first - g.sh[:, 1:4].numpy()), 0.99) < 0.01


def test_a_file_holds_the_whole_scene_and_needs_no_network(tmp_path, moving_scene):
    path = tmp_path / "a & b.html"
    assert write_html(path, moving_scene) == ()
    text = path.read_text()
    assert "a &amp; b" in text
    assert not re.search(r"""(src|href)\s*=|https?://|import\s*\(|fetch\(""", text)
    header = json.loads(re.findall(r'id="header"[^>]*>(.*?)</script>', text, re.S)[0])
    payload = base64.b64decode(re.findall(r'id="payload"[^>]*>(.*?)</script>', text, re.S)[0])
    n, t = 500, 4
    blocks = -(-n // BLOCK)
    assert len(gzip.decompress(payload)) == blocks * 24 + t * n * 10 + n * 7 + 9 * n
    assert header["seconds"] == 2.0
    assert header["times"][-1] == 1.0
    assert np.allclose(header["world_from_cam"], np.eye(4))


def test_a_title_cannot_break_out_of_the_page(tmp_path, scene):
    write_html(tmp_path / "x.html", scene, title="</script><script>alert(1)//{{PAYLOAD}}")
    text = (tmp_path / "x.html").read_text()
    assert "<script>alert" not in text
    assert "//{{PAYLOAD}}</title>" in text


def test_harmonics_are_left_out_until_it_fits(tmp_path, make_gaussians, monkeypatch):
    scene = Scene(make_gaussians(2000, sh_degree=3))
    full = write_html(tmp_path / "full.html", scene)
    monkeypatch.setattr("cosmorama.viewer.html.MAX_MEGABYTES", 0.1)
    notes = write_html(tmp_path / "small.html", scene)
    assert not full
    assert "above degree 1" in notes[0]
    assert (tmp_path / "small.html").stat().st_size < (tmp_path / "full.html").stat().st_size * 0.7


def test_an_existing_file_and_an_empty_scene_are_refused(tmp_path, scene):
    (tmp_path / "x.html").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        write_html(tmp_path / "x.html", scene)
    assert (tmp_path / "x.html").read_text() == "mine"
    with pytest.raises(InputError, match="no splats"):
        write_html(tmp_path / "y.html", Scene(scene.gaussians[:0]))


def test_the_same_scene_gives_the_same_bytes(tmp_path, scene):
    write_html(tmp_path / "1.html", scene, title="t")
    write_html(tmp_path / "2.html", scene, title="t")
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()
