import numpy as np
import pytest
import torch

from cosmorama.reconstruct.ssim import ssim, ssim_map


def _pair(h=40, w=33, c=3, b=2):
    image = torch.rand(b, h, w, c)
    return image, (image + 0.2 * torch.randn(b, h, w, c)).clamp(0, 1)


@pytest.mark.parametrize(
    ("h", "w", "c"), [(40, 33, 3), (3, 6, 3), (5, 5, 3), (64, 48, 1), (1, 17, 1), (12, 270, 4)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_fast_path_agrees_with_plain_torch(h, w, c, weighted):
    image, target = _pair(h, w, c)
    weights = torch.rand(2, h, w) if weighted else None
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [t.to(dtype, copy=True).requires_grad_() for t in (image, target)]
        value = ssim(*leaves, weights=None if weights is None else weights.to(dtype))
        (value * 3).backward()
        results.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for fast, slow in zip(*results):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-4, atol=2e-5 * float(slow.abs().max()))


def test_agrees_with_scikit_image_away_from_the_border():
    from skimage.metrics import structural_similarity

    image, target = _pair(b=1)
    _, expected = structural_similarity(
        image[0].double().numpy(), target[0].double().numpy(), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=1.0, channel_axis=-1, full=True,
    )  # fmt: skip
    ours = ssim_map(image.double(), target.double())[0].numpy()
    np.testing.assert_allclose(ours[5:-5, 5:-5], expected[5:-5, 5:-5], atol=1e-6)


def test_equal_images_are_alike_and_weights_leave_out_pixels():
    image, target = _pair()
    assert float(ssim(image, image)) == pytest.approx(1, abs=1e-6)
    assert float(ssim(image, target, weights=torch.zeros(40, 33))) == 1
    half = torch.ones(40, 33)
    half[:, 16:] = 0
    left = image.clone()
    left[:, :, :10] = target[:, :, :10]
    assert float(ssim(left, image, weights=1 - half)) == pytest.approx(1, abs=1e-6)
    assert float(ssim(left, image, weights=half)) == pytest.approx(float(ssim(left, image)), abs=1e-6)


def test_same_bits_for_any_number_of_threads():
    image, target = _pair()
    image.requires_grad_()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            value = ssim(image, target)
            results.append((value, *torch.autograd.grad(value, image)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results))
