import pytest

from cosmorama.reconstruct.files import read_splats
from cosmorama.reconstruct.scene import Scene
from cosmorama.viewer.panels.files import EXPORT_SUFFIXES, export_bytes


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_every_format_of_the_dialog_can_be_written(suffix, make_gaussians, tmp_path):
    scene = Scene(make_gaussians(300))
    content, _ = export_bytes(scene, suffix)
    if suffix == ".html":
        assert b"</html>" in content
        return
    (tmp_path / f"back{suffix}").write_bytes(content)
    assert len(read_splats(tmp_path / f"back{suffix}").gaussians) == 300
