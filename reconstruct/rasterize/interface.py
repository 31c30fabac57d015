"""What every rasterizer takes and gives, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..gaussians import Gaussians
from .finite import check_finite

Backend = Literal["auto", "reference", "cpu", "gsplat"]


@dataclass(frozen=True)
class Rendering:
    """Images of C cameras."""

    color: Float[Tensor, "c h w 3"]
    alpha: Float[Tensor, "c h w"]
    """Opacity of the pixel: 1 minus the light that passes every splat."""
    depth: Float[Tensor, "c h w"]
    """Expected z: the splats' depths weighted as their colours; 0 where alpha is 0."""
    median_depth: Float[Tensor, "c h w"]
    """z of the splat at which half of the light is gone; 0 where it never is; carries no gradient."""
    features: Float[Tensor, "c h w f"] | None = None
    """Extra channels, blended as colour is, over nothing."""
    info: dict[str, Any] = field(default_factory=dict)
    """What gsplat's strategies read: ``means2d`` [c, n, 2] (pixels; has ``.grad`` after ``backward`` and, if asked
    for, ``.absgrad``), ``radii`` [c, n, 2] int32 (0 if not seen), ``width``, ``height``, ``n_cameras``,
    ``gaussian_ids`` (None: not packed)."""


def rasterize(
    gaussians: Gaussians,
    cameras: Cameras,
    *,
    features: Float[Tensor, "n f"] | None = None,
    background: Float[Tensor, 3] | Float[Tensor, "c 3"] | None = None,
    sh_degree: int | None = None,
    antialiased: bool = False,
    near: float = 0.01,
    far: float = 1e10,
    absgrad: bool = False,
    backend: Backend = "auto",
) -> Rendering:
    """Render splats into cameras, differentiably.

    Gradients reach every splat parameter, ``features``, ``background`` and ``cameras.world_from_cam``, and are
    computed only for those that require them. The backends agree with ``reference.py``, which is the definition.

    Args:
        gaussians: splats; an empty set gives the background.
        cameras: C cameras of one size (batch shape [C]).
        features: extra channels per splat.
        background: colour behind the splats, one or one per camera; default black.
        sh_degree: evaluate harmonics up to this degree only; default all that are stored.
        antialiased: lower a splat's opacity by as much as the pixel filter enlarges it (Mip-Splatting).
        near, far: splats whose centre is not strictly between these depths are not drawn.
        absgrad: also sum the absolute values of the pixels' gradients, into ``info["means2d"].absgrad`` (AbsGS).
        backend: ``auto`` takes gsplat for CUDA tensors and the Numba kernels for CPU tensors.

    Raises:
        InputError: shapes do not fit, a parameter is not finite, or the backend cannot do what is asked.
    """
    features = gaussians.means.new_zeros(len(gaussians), 0) if features is None else features
    _check_shapes(gaussians, cameras, features, background)
    if backend == "auto":
        backend = "gsplat" if gaussians.means.is_cuda else "cpu"
    render = {"reference": _reference, "cpu": _cpu, "gsplat": _gsplat}.get(backend)
    if render is None:
        raise InputError(f"no rasterizer is called {backend!r}: auto, reference, cpu or gsplat")
    color, alpha, depth_sum, median_depth, blended, info = render(
        gaussians,
        cameras,
        features=features,
        sh_degree=gaussians.sh_degree if sh_degree is None else min(sh_degree, gaussians.sh_degree),
        antialiased=antialiased,
        near=near,
        far=far,
        absgrad=absgrad,
    )
    if background is not None:
        color = color + (1 - alpha)[..., None] * background.expand(len(cameras), 3)[:, None, None, :]
    return Rendering(
        color=color,
        alpha=alpha,
        depth=depth_sum / alpha.clamp_min(1e-10),
        median_depth=median_depth,
        features=blended if features.shape[1] else None,
        info={
            **info,
            "width": cameras.width,
            "height": cameras.height,
            "n_cameras": len(cameras),
            "gaussian_ids": None,
        },
    )


def _reference(gaussians: Gaussians, cameras: Cameras, *, absgrad: bool, **options: Any) -> tuple[Any, ...]:
    from . import reference

    if absgrad:
        raise InputError("absgrad is not something autograd can give: use the cpu or gsplat backend")
    check_finite(gaussians, options["features"])
    *images, projected = reference.render(gaussians, cameras, **options)
    return *images, {"means2d": projected.means2d, "radii": projected.radii}


def _cpu(*args: Any, **options: Any) -> tuple[Any, ...]:
    from .cpu.autograd import render

    return render(*args, **options)


def _gsplat(*args: Any, **options: Any) -> tuple[Any, ...]:
    from .gsplat_backend import render

    return render(*args, **options)


def _check_shapes(
    gaussians: Gaussians, cameras: Cameras, features: Tensor, background: Tensor | None
) -> None:
    n, c = len(gaussians), cameras.world_from_cam.shape[0]
    k = gaussians.sh.shape[1] if gaussians.sh.ndim == 3 else 1
    expected = {
        "means": (gaussians.means, (n, 3)),
        "quats": (gaussians.quats, (n, 4)),
        "log_scales": (gaussians.log_scales, (n, 3)),
        "opacity_logits": (gaussians.opacity_logits, (n,)),
        "sh": (gaussians.sh, (n, k, 3)),
        "features": (features, (n, features.shape[-1])),
        "world_from_cam": (cameras.world_from_cam, (c, 4, 4)),
        "intrinsics": (cameras.intrinsics, (c, 3, 3)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise InputError(f"{name} must have shape {list(shape)}, not {list(tensor.shape)}")
        if tensor.device != gaussians.means.device:
            raise InputError(f"{name} is on {tensor.device}, means are on {gaussians.means.device}")
    if background is not None and tuple(background.shape) not in ((3,), (c, 3)):
        raise InputError(f"background must have shape [3] or [{c}, 3], not {list(background.shape)}")
    if cameras.width < 1 or cameras.height < 1:
        raise InputError(f"images must have pixels, not {cameras.width} x {cameras.height}")
