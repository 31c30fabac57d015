"""What is in front and what is behind, in pixels that show both."""

import torch

from cosmorama.pipeline.growth.rims import LEAST, unmix

FRONT, BACK = torch.tensor([0.8, 0.2, 0.1]), torch.tensor([0.2, 0.5, 0.9])
H, W, EDGE = 20, 40, 20


def silhouette(shares: list[float]):
    """A thing on the left whose last pixels show so much of it; and its depth, which those pixels have too."""
    alpha = torch.zeros(H, W)
    alpha[:, :EDGE] = 1
    alpha[:, EDGE : EDGE + len(shares)] = torch.tensor(shares)
    image = alpha[..., None] * FRONT + (1 - alpha[..., None]) * BACK
    depth = torch.full((H, W), 5.0)
    depth[:, : EDGE + len(shares)] = 1.0
    rim = torch.zeros(H, W, dtype=torch.bool)
    rim[:, EDGE + len(shares) - 3 : EDGE + len(shares)] = True
    return image, depth, rim, alpha


def test_mixtures_are_told_apart_and_together_are_the_picture():
    image, depth, rim, alpha = silhouette([0.7, 0.3])
    layers = unmix(image, depth, rim, BACK.expand(H, W, 3))
    assert torch.allclose(layers.alpha[rim], alpha[rim], atol=0.01)
    assert (layers.alpha[~rim] == 1).all()
    assert torch.allclose(layers.front[rim], FRONT.expand(int(rim.sum()), 3), atol=0.02)
    assert torch.allclose(layers.back, BACK.expand(H, W, 3), atol=0.02)
    share = layers.alpha[..., None]
    assert torch.allclose(share * layers.front + (1 - share) * layers.back, image, atol=1e-3)


def test_what_shows_nothing_of_the_front_is_left_to_what_is_behind():
    image, depth, rim, _ = silhouette([0.6, 0.0])
    slightly_off = (BACK + 0.03).expand(H, W, 3)
    layers = unmix(image, depth, rim, slightly_off)
    behind = layers.alpha == LEAST
    assert behind[:, EDGE + 1].all()
    assert torch.allclose(
        layers.back[behind], BACK.expand(int(behind.sum()), 3), atol=0.03
    )  # the photo's own colour


def test_faint_halos_go_with_what_is_in_front():
    image, depth, rim, _ = silhouette([0.5, 0.0])
    image[:, EDGE + 1] = BACK + 0.05
    layers = unmix(image, depth, rim, BACK.expand(H, W, 3))
    assert float((layers.back - BACK).abs().max()) < 0.031  # no bright line stays behind
    share = layers.alpha[..., None]
    assert torch.allclose(share * layers.front + (1 - share) * layers.back, image, atol=1e-3)
    assert float(layers.alpha[:, EDGE + 1].max()) < 0.5


def test_a_halo_is_no_mixture_and_stays_in_front():
    image, depth, rim, _ = silhouette([0.5, 0.0])
    image[:, EDGE + 1] = 1.0  # brighter than both sides
    layers = unmix(image, depth, rim, BACK.expand(H, W, 3))
    assert (layers.alpha[:, EDGE + 1] == 1).all()
    assert torch.equal(layers.front[:, EDGE + 1], image[:, EDGE + 1])
    assert (layers.alpha[:, EDGE] < 0.6).all()


def test_colours_too_much_alike_are_not_told_apart():
    image, depth, rim, _ = silhouette([0.5, 0.2])
    layers = unmix(image, depth, rim, (FRONT - 0.03).expand(H, W, 3))
    assert (layers.alpha == 1).all()
    assert torch.equal(layers.front, image)


def test_with_nothing_beside_it_a_rim_is_opaque():
    image, depth, rim, _ = silhouette([0.5])
    everything = torch.ones_like(rim)
    assert (unmix(image, depth, everything, BACK.expand(H, W, 3)).alpha == 1).all()
    assert (unmix(image, depth, ~everything, BACK.expand(H, W, 3)).alpha == 1).all()
