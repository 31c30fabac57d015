"""The CPU kernels against the reference renderer: values and every gradient.

Both skip what covers a pixel by less than 1/255 and stop at a transmittance of 1e-4. Where a value is within rounding
of such a threshold, float32 kernels and a float64 reference may rightly disagree by a whole splat, so scenes are drawn
until no pixel is that close (``_far_from_thresholds``); then they must agree to rounding everywhere. That is float32
rounding of 1 - alpha, by which the backward pass divides: 3e-5 where a splat covers a pixel by 0.998.
"""

import itertools

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.gaussians import Gaussians
from cosmorama.reconstruct.rasterize import rasterize, reference

SHAPES = ("means", "quats", "log_scales", "opacity_logits", "sh")


def _cameras(count=1, width=37, height=29):
    generator = torch.Generator().manual_seed(count)
    position = torch.tensor([0.3, -0.2, -4.0]) + torch.randn(count, 3, generator=generator) * 0.4
    intrinsics = pinhole_intrinsics(32.0, width, height).repeat(count, 1, 1)
    intrinsics[:, 0, 2] += 1.7
    intrinsics[:, 1, 1] *= 1.1
    return Cameras(look_at(position, torch.zeros_like(position)), intrinsics, width, height)


def _random_splats(seed, n=60, degree=1):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return Gaussians(
        normal(n, 3),
        normal(n, 4),
        normal(n, 3) * 0.7 - 1.8,
        normal(n) * 2,
        normal(n, (degree + 1) ** 2, 3) * 0.4,
    )


def _needles(seed):
    splats = _random_splats(seed, n=12)
    splats.log_scales[:, 1:] = -7
    splats.log_scales[:, 0] = 0.5
    splats.log_scales[0, 1:] = -torch.inf
    return splats


def _discs(seed):
    splats = _random_splats(seed, n=12)
    splats.log_scales[:, 0] = -8
    splats.log_scales[0, 0] = -torch.inf
    return splats


def _behind_and_beside(seed):
    splats = _random_splats(seed, n=40)
    splats.means[::2] *= 4
    return splats


def _sub_pixel(seed):
    splats = _random_splats(seed, n=60)
    splats.log_scales[:] -= 5
    return splats


def _image_wide(seed):
    splats = _random_splats(seed, n=8)
    splats.log_scales[:] += 4.5
    return splats


def _clear_and_opaque(seed):
    splats = _random_splats(seed, n=30)
    splats.opacity_logits[::3] = torch.inf
    splats.opacity_logits[1::3] = -torch.inf
    return splats


def _same_depth(seed):
    splats = _random_splats(seed, n=20)
    splats.means[:] = splats.means[:1]
    return splats


def _close_up(seed):
    splats = _random_splats(seed, n=20)
    splats.means[:, :2] *= 0.1
    splats.means[:, 2] = -3.9 + splats.means[:, 2].abs() * 0.05
    splats.log_scales[:] -= 2
    return splats


DEGENERATE = (
    _needles, _discs, _behind_and_beside, _sub_pixel, _image_wide, _clear_and_opaque, _same_depth, _close_up,
)  # fmt: skip


def _far_from_thresholds(gaussians, cameras, antialiased, margin):
    exact = _convert(gaussians, torch.float64)
    projected = reference.project(exact, _double(cameras), antialiased=antialiased)
    near = [(projected.opacities * 255 - 1).abs()]
    for c in range(len(cameras)):
        _, behind, order = reference.blend_weights(projected, c, cameras.width, cameras.height)
        before = torch.cat([torch.ones_like(behind[:, :1]), behind[:, :-1]], dim=-1)
        alpha = 1 - behind / before
        x = torch.arange(cameras.width) + 0.5
        y = torch.arange(cameras.height) + 0.5
        pixels = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).reshape(-1, 1, 2)
        dx, dy = (pixels - projected.means2d[c, order]).unbind(-1)
        xx, xy, yy = projected.conics[c, order].unbind(-1)
        free = projected.opacities[c, order] * torch.exp(-0.5 * (xx * dx**2 + yy * dy**2) - xy * dx * dy)
        near += [(free * 255 - 1).abs(), (free / 0.999 - 1).abs()[free < 1], (behind / 1e-4 - 1).abs()]
        near += [((behind - 0.5).abs() * 2)[alpha > 0]]
    return all(bool((distance > margin).all()) for distance in near)


def _scene(make, cameras, antialiased=False, margin=2e-5):
    for seed in range(200):
        gaussians = make(seed)
        if _far_from_thresholds(gaussians, cameras, antialiased, margin):
            return gaussians
    raise AssertionError("no scene keeps away from the thresholds")


def _convert(gaussians, dtype):
    return Gaussians(**{name: value.to(dtype) for name, value in gaussians.tensors().items()})


def _double(cameras):
    return Cameras(
        cameras.world_from_cam.double(), cameras.intrinsics.double(), cameras.width, cameras.height
    )


def _render(gaussians, cameras, backend, *, dtype=torch.float32, **options):
    """Images, and gradients of a random function of all of them.

    The expected depth is weighted by alpha: where alpha is small it is a quotient of small numbers, whose gradients
    are large and cancel.
    """
    leaves = {
        name: value.to(dtype, copy=True).requires_grad_() for name, value in gaussians.tensors().items()
    }
    generator = torch.Generator().manual_seed(5)

    def rand(count):
        return torch.rand(count, 3, generator=generator).to(dtype).requires_grad_()

    leaves["features"] = rand(len(gaussians))
    leaves["background"] = rand(len(cameras))
    leaves["world_from_cam"] = cameras.world_from_cam.to(dtype, copy=True).requires_grad_()
    views = Cameras(leaves["world_from_cam"], cameras.intrinsics.to(dtype), cameras.width, cameras.height)
    images = rasterize(
        Gaussians(**{name: leaves[name] for name in SHAPES}),
        views,
        features=leaves["features"],
        background=leaves["background"],
        backend=backend,
        **options,
    )
    images.info["means2d"].retain_grad()
    loss = 0
    for image in (images.color, images.alpha, images.depth * images.alpha.detach(), images.features):
        loss = loss + (image * torch.randn(image.shape, generator=generator).to(dtype)).sum()
    loss.backward()
    gradients = {name: leaf.grad for name, leaf in leaves.items()}
    return images, {**gradients, "means2d": images.info["means2d"].grad}


def _assert_agree(gaussians, cameras, *, tolerance=1e-4, **options):
    images, gradients = _render(gaussians, cameras, "cpu", **options)
    exact, exact_gradients = _render(gaussians, cameras, "reference", dtype=torch.float64, **options)
    for name in ("color", "alpha", "depth", "median_depth", "features"):
        actual, expected = getattr(images, name).detach().double(), getattr(exact, name).detach()
        torch.testing.assert_close(
            actual, expected, rtol=0, atol=tolerance * max(1, float(expected.abs().max())),
            msg=lambda text, name=name: f"{name}: {text}",
        )  # fmt: skip
    assert (images.info["radii"] == exact.info["radii"]).all()
    for name, expected in exact_gradients.items():
        torch.testing.assert_close(
            gradients[name].double(), expected, rtol=0, atol=tolerance * float(expected.abs().max()) + 1e-12,
            msg=lambda text, name=name: f"gradient of {name}: {text}",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("degree", "count", "antialiased"),
    [(0, 1, False), (1, 2, True), (2, 3, False), (3, 1, True), (3, 2, False)],
)
def test_random_scenes(degree, count, antialiased):
    cameras = _cameras(count)
    gaussians = _scene(lambda seed: _random_splats(seed, degree=degree), cameras, antialiased)
    _assert_agree(gaussians, cameras, antialiased=antialiased)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (17, 15), (3, 50), (65, 7)])
def test_image_sizes(width, height):
    cameras = _cameras(1, width, height)
    _assert_agree(_scene(_random_splats, cameras), cameras)


@pytest.mark.parametrize("antialiased", [False, True])
@pytest.mark.parametrize("make", DEGENERATE)
def test_degenerate_splats(make, antialiased):
    cameras = _cameras(2)
    _assert_agree(_scene(make, cameras, antialiased), cameras, antialiased=antialiased, tolerance=5e-4)


def test_many_splats_in_one_tile():
    """Several batches of pairs, with pixels that finish in different ones."""
    cameras = _cameras(1, 9, 9)

    def crowd(seed):
        splats = _random_splats(seed, n=700)
        splats.means[:, :2] *= 0.3
        splats.opacity_logits[:] -= 3.5
        return splats

    gaussians = _scene(crowd, cameras, margin=3e-6)
    _assert_agree(gaussians, cameras)
    assert len(gaussians) > 2 * 256


def test_lower_sh_degree_ignores_the_higher_bands():
    gaussians, cameras = _random_splats(0, degree=3), _cameras()
    low = Gaussians(*(gaussians.tensors()[name] for name in SHAPES[:-1]), gaussians.sh[:, :4])
    _, gradients = _render(gaussians, cameras, "cpu", sh_degree=1)
    images = rasterize(gaussians, cameras, sh_degree=1)
    assert torch.equal(images.color, rasterize(low, cameras).color)
    assert gradients["sh"][:, :4].abs().max() > 0
    assert not gradients["sh"][:, 4:].any()


def test_near_and_far():
    gaussians, cameras = _random_splats(0), _cameras()
    depths = cameras.project(gaussians.means[None])[1][0]
    images = rasterize(gaussians, cameras, near=3.5, far=4.5)
    seen = (images.info["radii"][0] > 0).all(-1)
    assert seen.any()
    assert ((depths[seen] > 3.5) & (depths[seen] < 4.5)).all()


def test_empty_scene_shows_the_background():
    gaussians, cameras = _random_splats(0)[:0], _cameras(2)
    background = torch.tensor([0.2, 0.4, 0.6])
    for backend in ("cpu", "reference"):
        images = rasterize(gaussians, cameras, background=background, backend=backend)
        assert (images.color == background).all()
        assert not images.alpha.any()
        assert not images.depth.any()
        assert images.features is None


def test_nothing_in_view():
    gaussians, cameras = _random_splats(0), _cameras()
    gaussians.means[:, 2] -= 100
    _, gradients = _render(gaussians, cameras, "cpu")
    assert all(not gradients[name].any() for name in (*SHAPES, "features", "world_from_cam", "means2d"))


@pytest.mark.parametrize("name", [*SHAPES, "features"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_nan_is_an_input_error_that_names_it(name, backend):
    gaussians, features = _random_splats(0), torch.rand(60, 2)
    {**gaussians.tensors(), "features": features}[name][7] = torch.nan
    with pytest.raises(InputError, match=rf"{name} of 1 of 60 splats.*splat 7"):
        rasterize(gaussians, _cameras(), features=features, backend=backend)


def test_input_errors():
    gaussians, cameras = _random_splats(0), _cameras()
    with pytest.raises(InputError, match=r"features must have shape \[60, 2\]"):
        rasterize(gaussians, cameras, features=torch.rand(59, 2))
    with pytest.raises(InputError, match="background must have shape"):
        rasterize(gaussians, cameras, background=torch.rand(4))
    with pytest.raises(InputError, match="float64"):
        rasterize(_convert(gaussians, torch.float64), cameras)
    with pytest.raises(InputError, match="no rasterizer is called 'opengl'"):
        rasterize(gaussians, cameras, backend="opengl")  # pyright: ignore
    with pytest.raises(InputError, match="CUDA"):
        rasterize(gaussians, cameras, backend="gsplat")
    cameras.intrinsics.requires_grad_()
    with pytest.raises(InputError, match="intrinsics"):
        rasterize(gaussians, cameras)


def test_absgrad_sums_over_pixels():
    cameras = _cameras(1, 7, 5)
    gaussians = _scene(_random_splats, cameras)
    leaves = Gaussians(**{name: value.requires_grad_() for name, value in gaussians.tensors().items()})
    images = rasterize(leaves, cameras, absgrad=True)
    factors = torch.randn(images.color.shape, generator=torch.Generator().manual_seed(0))
    (images.color * factors).sum().backward()
    exact = _convert(gaussians.detach(), torch.float64)
    exact.means.requires_grad_()
    slow = rasterize(exact, _double(cameras), backend="reference")
    total = torch.zeros_like(slow.info["means2d"])
    for row, column in itertools.product(range(5), range(7)):
        pixel = (slow.color[0, row, column] * factors[0, row, column]).sum()
        total += torch.autograd.grad(pixel, slow.info["means2d"], retain_graph=True)[0].abs()
    absgrad = images.info["means2d"].absgrad
    torch.testing.assert_close(absgrad.double(), total, rtol=1e-4, atol=1e-5 * float(total.max()))
    assert (absgrad > images.info["means2d"].grad.abs() * 1.5).any()


def test_gradients_only_where_required():
    gaussians, cameras = _random_splats(0), _cameras()
    gaussians.sh.requires_grad_()
    images = rasterize(gaussians, cameras)
    images.color.sum().backward()
    assert gaussians.sh.grad is not None
    assert gaussians.means.grad is None
    assert not rasterize(gaussians.detach(), cameras).color.requires_grad
    with torch.no_grad():
        assert not rasterize(gaussians, cameras).color.requires_grad


@pytest.mark.parametrize("degree", [0, 1])
def test_gradients_of_looks_do_not_depend_on_whether_places_are_asked_for(degree):
    looks = ("log_scales", "opacity_logits", "sh")
    found = []
    for names in (SHAPES, looks):
        gaussians = _random_splats(3, degree=degree)
        for name in names:
            getattr(gaussians, name).requires_grad_()
        images = rasterize(gaussians, _cameras(2))
        (images.color.square().sum() + images.depth.sum()).backward()
        found.append([getattr(gaussians, name).grad for name in looks])
    for with_places, without in zip(*found):
        assert with_places.abs().max() > 0
        assert torch.equal(with_places, without)


def test_splats_behind_the_last_one_looked_at_do_not_matter():
    """What lies in a batch's memory from the tile before must not reach the next tile's gradients."""
    half = 40
    generator = torch.Generator().manual_seed(0)
    z = torch.cat([4 + torch.rand(half, generator=generator), -4 - torch.rand(half, generator=generator)])
    faint_and_glaring = torch.arange(2 * half) < half
    parameters = {
        "means": torch.stack([torch.zeros(2 * half), torch.zeros(2 * half), z], dim=-1),
        "quats": torch.tensor([1.0, 0, 0, 0]).repeat(2 * half, 1),
        "log_scales": torch.full((2 * half, 3), 3.0),
        "opacity_logits": torch.where(faint_and_glaring, -4.0, 9.0),
        "sh": torch.where(faint_and_glaring, 3e38, 0.5)[:, None, None].repeat(1, 1, 3),
    }
    parameters = {name: value.requires_grad_() for name, value in parameters.items()}
    there_and_back = torch.stack([torch.eye(4), torch.diag(torch.tensor([-1.0, 1, -1, 1]))])
    cameras = Cameras(there_and_back, pinhole_intrinsics(16.0, 16, 16).repeat(2, 1, 1), 16, 16)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # so that the second camera's tile follows the first one's
        color = rasterize(Gaussians(**parameters), cameras).color
        (color[1] * 10).sum().backward()
    finally:
        torch.set_num_threads(threads)
    for name, value in parameters.items():
        assert value.grad is not None
        assert value.grad.isfinite().all(), name
