"""Standing, cleaning and setting axes in a real browser."""

import math
import threading
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image

from cosmorama.reconstruct.gaussians import cat_gaussians, gaussians_from_points
from cosmorama.reconstruct.scene import Scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.viewer.editing import keep_splats, with_up
from cosmorama.viewer.panels.film import _Path
from cosmorama.viewer.stage import stage_scene


def sheet(normal, height, *, count=4000, seed=0):
    """Splats on a plane ``height`` below the origin, coloured by place."""
    g = torch.Generator().manual_seed(seed)
    flat = (torch.rand(count, 3, generator=g) - 0.5) * torch.tensor([8.0, 0.0, 16.0])
    flat[:, 1] = (height * normal.norm() - flat @ normal) / normal[1]
    return gaussians_from_points(
        flat, torch.rand(count, 3, generator=g) * 0.8, torch.full((count,), 0.06), opacity=0.9
    )


@pytest.fixture
def hillside(make_camera):
    """A slope of 1 in 4 that rises ahead of somebody whose eyes are 1.6 above it."""
    return Scene(
        sheet(torch.tensor([0.0, 1.0, 0.25]), 1.6 / math.hypot(1, 0.25)),
        metres_per_unit=1.0,
        views=images_from_cameras(make_camera()),
    )


def test_who_walks_up_a_slope_rises_with_it(page, hillside, serving, visit, wait_until):
    with serving(hillside) as viewer:
        session = visit(page, viewer)
        page.wait_for_selector("#cosmorama-map", state="visible")

        def stands_at():
            _, y, z = session.painter.camera().positions[0].tolist()
            return z, -y - 0.25 * z  # how much further above the ground than at the start

        page.keyboard.down("w")
        wait_until(lambda: stands_at()[0] > 2)
        page.keyboard.up("w")
        wait_until(lambda: abs(stands_at()[1]) < 0.12)
        assert -session.painter.camera().positions[0, 1] > 0.3
        page.keyboard.press("g")  # from here on as a bird
        wait_until(lambda: not page_setting(page, "stand"))
        height = float(session.painter.camera().positions[0, 1])
        page.keyboard.down("w")
        wait_until(lambda: stands_at()[0] > 3)
        page.keyboard.up("w")
        assert float(session.painter.camera().positions[0, 1]) == pytest.approx(height, abs=0.02)


def page_setting(page, name):
    return page.evaluate(f"JSON.parse(document.getElementById('cosmorama-config').dataset.config)['{name}']")


def notes(page):
    return " ".join(page.locator(".mantine-Notification-root").all_text_contents())


def test_each_kind_of_floater_can_be_deleted_and_brought_back(
    page, make_gaussians, make_camera, serving, visit, wait_until
):
    solid = make_gaussians(1500, sh_degree=0)
    solid = replace(solid, opacity_logits=torch.full((1500,), 2.0), log_scales=torch.full((1500, 3), -2.2))
    middle = solid.means[:40]
    faint = gaussians_from_points(middle[:20], torch.rand(20, 3), torch.full((20,), 0.05), opacity=0.02)
    large = gaussians_from_points(middle[:9], torch.rand(9, 3), torch.full((9,), 0.5), opacity=0.9)
    far = torch.arange(5)[:, None] * torch.tensor([0.0, 0.0, 3.0]) + torch.tensor([0.5, 0.5, 9.0])
    lonely = gaussians_from_points(far, torch.rand(5, 3), torch.full((5,), 0.05), opacity=0.9)
    scene = Scene(cat_gaussians([solid, faint, large, lonely]), views=images_from_cameras(make_camera()))
    with serving(scene) as viewer:
        session = visit(page, viewer)
        page.set_viewport_size({"width": 700, "height": 600})
        page.get_by_role("tab", name="Edit").click()
        left = 1534
        for button, count in (("Delete faint", 20), ("Delete large", 9), ("Delete isolated", 5)):
            page.get_by_role("button", name=button).click()
            left -= count
            wait_until(lambda left=left: len(session.scene.gaussians) == left)
            wait_until(lambda count=count: f"{count} of" in notes(page))
        assert torch.equal(session.scene.gaussians.means, solid.means)
        for _ in range(3):
            page.keyboard.press("Control+z")
        wait_until(lambda: len(session.scene.gaussians) == 1534)
        page.get_by_role("button", name="Redo").click()
        wait_until(lambda: len(session.scene.gaussians) == 1514)
        assert len(viewer.scene.gaussians) == 1534  # nobody else's scene has changed


def test_the_crop_box_keeps_what_is_inside(page, hillside, serving, visit, wait_until):
    with serving(hillside) as viewer:
        session = visit(page, viewer)
        page.set_viewport_size({"width": 700, "height": 700})
        page.get_by_role("tab", name="Edit").click()
        page.get_by_text("Crop box").click()
        page.get_by_text("Show the box").click()
        page.get_by_role("button", name="Keep what is inside").click()
        wait_until(lambda: len(session.scene.gaussians) < 4000)
        reach = session.stage.pivot_distance
        off = (session.scene.gaussians.means - torch.tensor([0.0, 0.0, reach])).abs()
        assert off.max() <= reach / 2 + 0.01
        assert len(session.scene.gaussians) > 50


def test_up_and_origin_can_be_set(page, make_camera, serving, visit, wait_until):
    normal = torch.nn.functional.normalize(torch.tensor([0.25, 1.0, 0.1]), dim=0)  # a floor that leans
    scene = Scene(sheet(normal, 1.6), metres_per_unit=1.0, views=images_from_cameras(make_camera()))
    with serving(scene) as viewer:
        session = visit(page, viewer)
        page.set_viewport_size({"width": 700, "height": 700})
        page.get_by_role("tab", name="Edit").click()
        page.get_by_text("Up and origin").click()
        page.get_by_role("button", name="Up is across the floor").click()
        wait_until(lambda: float(session.stage.up @ -normal) > 0.9995)
        page.keyboard.down("w")  # a step, so that the camera is told the new horizon
        wait_until(lambda: float(session.painter.camera().positions[0].norm()) > 0.3)
        page.keyboard.up("w")
        wait_until(lambda: abs(float(session.painter.camera().world_from_cam[0, :3, 0] @ normal)) < 0.01)
        page.get_by_role("button", name="Turn it upside down").click()
        wait_until(lambda: float(session.stage.up @ normal) > 0.9995)
        page.keyboard.press("Control+z")
        wait_until(lambda: float(session.stage.up @ -normal) > 0.9995)
        page.keyboard.down("ArrowDown")  # look at the floor
        wait_until(lambda: float(session.painter.camera().forward[0] @ normal) > 0.5)
        page.keyboard.up("ArrowDown")
        moves: list[torch.Tensor] = []
        session.on_move.append(moves.append)

        def seen_from() -> torch.Tensor:
            camera = session.painter.camera()
            return torch.cat([camera.positions[0] - session.scene.gaussians.means[0], camera.forward[0]])

        def stands_still() -> bool:
            first = seen_from()
            page.wait_for_timeout(300)
            return torch.equal(first, seen_from())

        wait_until(stands_still)
        keys = _Path(session)
        session.on_move.append(keys.move)
        keys.add()
        before = seen_from()
        page.get_by_role("button", name="Origin in the middle of my view").click()
        wait_until(lambda: len(moves) == 1)
        torch.testing.assert_close(seen_from(), before, atol=1e-3, rtol=0)  # nothing jumps
        key = keys.keys[0].positions[0] - session.scene.gaussians.means[0]
        torch.testing.assert_close(key, before[:3], atol=1e-3, rtol=0)
        moved = scene.gaussians.means[0] - session.scene.gaussians.means[0]  # where the origin was set
        assert abs(float(moved @ normal) - 1.6) < 0.1  # on the floor


def test_nobody_edits_a_scene_that_is_being_made(page, hillside, serving, visit, wait_until):
    with serving(hillside) as viewer:
        session = visit(page, viewer)
        viewer.set_growing(True)
        session.edit(lambda scene: keep_splats(scene, torch.arange(len(scene.gaussians.means)) < 10))
        page.get_by_text("still being made").wait_for()
        assert session.scene is hillside
        viewer.set_growing(False)
        session.edit(lambda scene: keep_splats(scene, torch.arange(len(scene.gaussians.means)) < 10))
        assert len(session.scene.gaussians) == 10


def test_an_undo_waits_for_the_edit_that_it_takes_back(
    page, hillside, serving, visit, wait_until, monkeypatch
):
    def stage_slowly(scene):
        if scene.up[1] > 0:  # upside down
            time.sleep(0.5)
        return stage_scene(scene)

    monkeypatch.setattr("cosmorama.viewer.session.stage_scene", stage_slowly)
    with serving(hillside) as viewer:
        session = visit(page, viewer)
        turn = threading.Thread(target=session.edit, args=[lambda scene: with_up(scene, -scene.up)])
        turn.start()
        wait_until(lambda: session.scene.up[1] > 0)
        session.undo()
        turn.join()
        assert torch.equal(session.scene.up, hillside.up)
        assert torch.equal(session.stage.up, hillside.up)


def test_a_click_on_a_known_camera_flies_to_it(
    page, make_gaussians, make_camera, serving, visit, wait_until, tmp_path
):
    photo = tmp_path / "photo.png"
    Image.new("RGB", (64, 48), "red").save(photo)
    home, there = (images_from_cameras(make_camera(), image=photo)[0] for _ in range(2))
    there = replace(there, world_from_cam=there.world_from_cam.clone())
    there.world_from_cam[:3, 3] = torch.tensor([-0.4, 0.2, 1.4])  # left of the panel
    scene = Scene(make_gaussians(300), views=[home, there])
    with serving(scene) as viewer:
        session = visit(page, viewer)
        page.get_by_text("Show cameras").click()
        camera = session.painter.camera()
        seen = camera.intrinsics[0] @ (there.world_from_cam[:3, 3] + torch.tensor([0.0, 0.0, 0.1]))
        box = page.locator("canvas").first.bounding_box()
        x = box["x"] + float(seen[0] / seen[2]) / camera.width * box["width"]
        y = box["y"] + float(seen[1] / seen[2]) / camera.height * box["height"]

        def arrived():
            page.mouse.click(x, y)
            return float((session.painter.camera().positions[0] - there.world_from_cam[:3, 3]).norm()) < 0.05

        wait_until(arrived)
