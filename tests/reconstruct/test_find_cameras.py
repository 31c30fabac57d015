import math
import sys

import known_scene
import pytest
import torch
from PIL import Image

from cosmorama.reconstruct.cameras import Cameras, focal_px_from_fov, look_at, pinhole_intrinsics
from cosmorama.reconstruct.captures.find_cameras import find_cameras
from cosmorama.reconstruct.errors import InputError

pytest.importorskip("pycolmap")
WIDTH, HEIGHT = 400, 300
FOCAL = float(focal_px_from_fov(80.0, WIDTH))


def arc(count: int) -> Cameras:
    poses = []
    for i in range(count):
        angle = 0.16 * (i - (count - 1) / 2)
        place = torch.tensor([1.7 * math.sin(angle), 0.1 * i / count, -1.7 * math.cos(angle)])
        poses.append(look_at(place, torch.tensor([0.0, 0.5, 0.3])))
    k = pinhole_intrinsics(FOCAL, WIDTH, HEIGHT)
    return Cameras(torch.stack(poses), k.expand(count, 3, 3).contiguous(), WIDTH, HEIGHT)


def written(folder, cameras: Cameras) -> list:
    images, _ = known_scene.photos(cameras)
    paths = []
    for index, image in enumerate(images):
        paths.append(folder / f"{index}.png")
        Image.fromarray((image * 255).round().byte().numpy()).save(paths[-1])
    return paths


def misplaced(found, true: Cameras) -> torch.Tensor:
    """Errors of the found positions, once moved, turned and scaled onto the true ones, in true units."""
    here = torch.stack([posed.world_from_cam[:3, 3] for posed in found.posed])
    there = true.positions[found.given]
    a, b = here - here.mean(0), there - there.mean(0)
    u, s, vt = torch.linalg.svd(b.T @ a)
    sign = torch.diag(torch.tensor([1.0, 1.0, float(torch.det(u @ vt))]))
    scale = (s * sign.diagonal()).sum() / a.square().sum()
    return (scale * a @ (u @ sign @ vt).T - b).norm(dim=-1)


@pytest.mark.parametrize(("count", "told"), [(3, True), (9, False)])
def test_cameras_are_found(tmp_path, count, told):
    true = arc(count)
    paths = written(tmp_path, true)
    found = find_cameras(paths, focals_px=[FOCAL] * count if told else None)
    assert found.given == list(range(count))
    assert [posed.image for posed in found.posed] == paths
    spread = float((true.positions - true.positions.mean(0)).norm(dim=-1).mean())
    assert float(misplaced(found, true).max()) < 0.03 * spread
    assert float(found.posed[0].intrinsics[0, 0]) == pytest.approx(FOCAL, rel=0.02)
    for posed, seen in zip(found.posed, found.seen, strict=True):
        camera = Cameras(posed.world_from_cam[None], posed.intrinsics[None], WIDTH, HEIGHT)
        pixels, z = camera.project(found.cloud.points[seen][None])
        assert len(seen) > 50
        assert (z > 0).all()
        assert ((pixels >= -2) & (pixels <= torch.tensor([WIDTH + 2, HEIGHT + 2]))).all()


def test_the_same_photos_give_the_same_cameras(tmp_path):
    paths = written(tmp_path, arc(4))
    first, again = (find_cameras(paths, seed=3) for _ in range(2))
    assert torch.equal(first.cloud.points, again.cloud.points)
    for a, b in zip(first.posed, again.posed, strict=True):
        assert torch.equal(a.world_from_cam, b.world_from_cam)


def test_photos_that_share_nothing(tmp_path):
    generator = torch.Generator().manual_seed(0)
    paths = []
    for index in range(3):
        blocks = torch.rand(3, 15, 20, generator=generator)
        image = torch.nn.functional.interpolate(blocks[None], scale_factor=20, mode="bicubic")[0]
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray((image.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(paths[-1])
    with pytest.raises(InputError, match="do not show one place"):
        find_cameras(paths)


def test_without_pycolmap(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(InputError, match=r"needs the sfm extra.*cosmorama\[sfm\]"):
        find_cameras([tmp_path / "a.png", tmp_path / "b.png"])
