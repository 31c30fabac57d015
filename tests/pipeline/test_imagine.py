import pytest
import torch

from cosmorama.pipeline.generators.inpaint import InpaintGenerator
from cosmorama.pipeline.imagine import imagine_photo
from cosmorama.reconstruct.errors import InputError


class Painter:
    """Paints its seed; remembers what it was asked."""

    name, licences, group_size = "painter (test)", (), 8

    def __call__(self, request, *, on_progress=None):
        self.request = request
        height, width = request.memory.color.shape[1:3]
        return torch.full((1, height, width, 3), request.seed / 10)


def test_a_sentence_becomes_a_photo_seen_from_the_worlds_camera():
    painter = Painter()
    photo = imagine_photo("a kitchen", painter, long_side=96, seed=3)
    assert photo.image.shape == (72, 96, 3)
    assert photo.image.unique().tolist() == pytest.approx([0.3])
    assert photo.focal_source == "default"
    assert painter.request.text == "a kitchen"
    assert len(painter.request.photos) == 0
    assert painter.request.memory.coverage.max() == 0
    assert torch.equal(painter.request.cameras.world_from_cam[0], torch.eye(4))
    assert imagine_photo("a kitchen", painter, long_side=96, focal_px=80.0).camera.intrinsics[0, 0, 0] == 80


def test_hole_filling_cannot_start_from_nothing():
    with pytest.raises(InputError, match="sees nothing"):
        imagine_photo("a kitchen", InpaintGenerator(), long_side=64)
