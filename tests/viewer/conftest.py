from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from cosmorama.reconstruct.cameras import Cameras, pinhole_intrinsics
from cosmorama.reconstruct.gaussians import Gaussians, gaussians_from_points
from cosmorama.reconstruct.motion import Motion
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.viewer import Viewer
from cosmorama.viewer.headless import CHROMIUM_ARGS

CHROMIUM = "/usr/bin/chromium"


def random_gaussians(n: int, *, sh_degree: int = 1, seed: int = 0) -> Gaussians:
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 3, generator=g) * torch.tensor([4.0, 3.0, 3.0]) + torch.tensor([-2.0, -1.5, 2.0])
    splats = gaussians_from_points(
        points, torch.rand(n, 3, generator=g), torch.full((n,), 0.04), sh_degree=sh_degree
    )
    sh = splats.sh.clone()
    sh[:, 1:] = 0.15 * torch.randn(sh[:, 1:].shape, generator=g)
    return replace(
        splats,
        sh=sh,
        quats=torch.randn(n, 4, generator=g),
        log_scales=splats.log_scales + 0.4 * torch.randn(n, 3, generator=g),
        opacity_logits=2 * torch.randn(n, generator=g),
    )


def camera(width: int = 640, height: int = 480, focal: float = 500.0) -> Cameras:
    return Cameras(torch.eye(4)[None], pinhole_intrinsics(focal, width, height)[None], width, height)


@pytest.fixture(scope="session")
def make_gaussians():
    return random_gaussians


@pytest.fixture(scope="session")
def make_camera():
    return camera


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene(random_gaussians(4000), views=images_from_cameras(camera()))


@pytest.fixture(scope="session")
def moving_scene() -> Scene:
    gaussians = random_gaussians(500)
    shift = torch.linspace(0, 1, 4)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    motion = Motion(
        torch.linspace(0, 1, 4),
        gaussians.means + shift,
        gaussians.quats.expand(4, -1, -1).clone(),
        seconds=2.0,
    )
    return Scene(gaussians, motion, views=images_from_cameras(camera()))


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which(CHROMIUM) is None:
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    tab = browser.new_page(viewport={"width": 560, "height": 300})
    tab.set_default_timeout(90_000)  # a busy machine is no reason to fail
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    tab.close()
    assert not errors


def _wait_until(condition, seconds=90.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def _serving(scene, **options):
    viewer = Viewer(scene, port=0, **options)
    try:
        yield viewer
    finally:
        viewer.stop()


def _visit(page, viewer):
    known = set(map(id, viewer.sessions()))
    page.goto(
        viewer.url + ("&" if "?" in viewer.url else "?") + "fixedDpr=1"
    )  # else viser shrinks the canvas when slow
    _wait_until(lambda: any(id(s) not in known for s in viewer.sessions()))
    session = next(s for s in viewer.sessions() if id(s) not in known)
    _wait_until(lambda: session.painter._shown is not None)
    page.wait_for_selector("#cosmorama-config", state="attached")
    return session


@pytest.fixture(scope="session")
def wait_until():
    return _wait_until


@pytest.fixture(scope="session")
def serving():
    return _serving


@pytest.fixture(scope="session")
def visit():
    return _visit
