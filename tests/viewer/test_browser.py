"""The viewer and the shared page in a real browser."""

import base64
import io
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.reconstruct.cameras import Cameras
from cosmorama.reconstruct.files import write_splats
from cosmorama.reconstruct.gaussians import cat_gaussians, gaussians_from_points
from cosmorama.reconstruct.scene import Scene, save_scene
from cosmorama.reconstruct.transforms_json import images_from_cameras
from cosmorama.viewer import LiveSession, Viewer, show_scene, write_html
from cosmorama.viewer.headless import canvas_pixels, psnr
from cosmorama.viewer.modes import FRAMES, SPLATS
from cosmorama.viewer.render import render_rgb8
from cosmorama.viewer.uploads import Uploads


def agreement(page, session):
    """PSNR between what the browser shows and our own picture from the camera that it reports."""
    camera = session.painter.camera()
    shown = canvas_pixels(page)
    if shown.shape[:2] != (camera.height, camera.width) or shown.mean() < 5:  # nothing drawn yet
        return 0.0
    return psnr(shown, render_rgb8(session.gaussians, camera))


def test_splats_appear_as_we_render_them_and_keys_walk(
    page, make_gaussians, make_camera, serving, visit, wait_until
):
    page.set_viewport_size({"width": 480, "height": 220})
    gaussians = make_gaussians(10_000)
    gaussians = replace(gaussians, log_scales=gaussians.log_scales - 0.5)
    with serving(Scene(gaussians, views=images_from_cameras(make_camera()))) as viewer:
        session = visit(page, viewer)
        session.page.tell(speed=0.2)
        session.want_mode(SPLATS)
        wait_until(lambda: agreement(page, session) > 20)
        home = session.painter.camera().positions[0].clone()
        torch.testing.assert_close(home, torch.zeros(3), atol=0.01, rtol=0)
        page.keyboard.down("w")
        wait_until(lambda: float(session.painter.camera().positions[0, 2]) > 0.1)
        page.keyboard.up("w")
        wait_until(lambda: agreement(page, session) > 20)
        page.keyboard.press("?")
        assert page.locator("#cosmorama-help").is_visible()
        page.keyboard.press("?")
        page.keyboard.press("h")
        wait_until(lambda: float(session.painter.camera().positions[0].norm()) < 0.05)
        session.want_mode(FRAMES)
        wait_until(lambda: session.painter._shown.mode == FRAMES and session.painter._shown.sharp)
        wait_until(lambda: agreement(page, session) > 20)
        assert "rendered here" in session.mode_text


def test_what_the_opening_still_gives_way_to_is_the_scene_from_home(page, scene, serving, visit, wait_until):
    page.add_init_script("""(function watch() {
      const curtain = document.getElementById("cosmorama-opening"), canvas = window.__viserMutable?.canvas;
      window.curtainSeen ||= Boolean(curtain?.querySelector("img")?.naturalWidth);
      if (window.curtainSeen && canvas && (!curtain || curtain.style.opacity === "0"))
        window.firstSeen = { picture: canvas.toDataURL(), opacity: getComputedStyle(canvas).opacity };
      else requestAnimationFrame(watch);
    })()""")
    with serving(scene) as viewer:
        session = visit(page, viewer)
        wait_until(lambda: page.evaluate("window.firstSeen?.opacity"))
        assert page.evaluate("window.firstSeen.opacity") == "1"
        encoded = page.evaluate("window.firstSeen.picture").split(",")[1]
        seen = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
        camera = session.painter.camera()
        assert just_fits(camera, scene.home)
        assert seen.size == (camera.width, camera.height)
        assert psnr(np.asarray(seen), render_rgb8(scene.gaussians, camera)) > 18
        page.wait_for_selector("#cosmorama-opening", state="detached")


def test_the_whole_photo_stays_in_a_window_of_any_shape(page, scene, serving, visit, wait_until):
    with serving(scene) as viewer:
        session = visit(page, viewer)
        wait_until(lambda: just_fits(session.painter.camera(), scene.home))
        before = session.painter.camera().width
        page.set_viewport_size({"width": 900, "height": 300})
        wait_until(lambda: session.painter.camera().width > before + 100)
        wait_until(lambda: just_fits(session.painter.camera(), scene.home))


def just_fits(shown, photo):
    """Whether a camera shows all of a photo, and no margin at two of its sides."""
    wide, tall = (spread(shown)[i] / spread(photo)[i] for i in (0, 1))
    return min(wide, tall) == pytest.approx(1, abs=1e-3)


def spread(camera):
    """Width and height of the picture at distance 1."""
    k = camera.intrinsics[0]
    return camera.width / float(k[0, 0]), camera.height / float(k[1, 1])


def test_a_gamepad_walks_and_looks(page, scene, serving, visit, wait_until):
    with serving(scene) as viewer:
        session = visit(page, viewer)
        page.evaluate("navigator.getGamepads = () => [{connected: true, axes: [0, -1, 0, 0], buttons: []}]")
        wait_until(lambda: float(session.painter.camera().positions[0, 2]) > 0.1)
        page.evaluate("navigator.getGamepads = () => [{connected: true, axes: [0, 0, 1, 0], buttons: []}]")
        wait_until(lambda: float(session.painter.camera().forward[0, 0]) > 0.1)  # to the right
        shoulders = "[0, 0, 0, 0, 0, 1].map((value) => ({value}))"
        page.evaluate(f"navigator.getGamepads = () => [{{connected: true, axes: [], buttons: {shoulders}}}]")
        page.get_by_text("Speed × 1.30").wait_for()


def test_the_timeline_plays_and_uploads_open(
    page, moving_scene, tmp_path, make_gaussians, serving, visit, wait_until
):
    with serving(moving_scene) as viewer:
        session = visit(page, viewer)
        before = canvas_pixels(page)
        page.keyboard.press("p")
        wait_until(lambda: 0.25 < session.time < 0.95)
        page.keyboard.press("p")
        wait_until(lambda: not session.playback.playing)
        wait_until(lambda: agreement(page, session) > 20)
        assert psnr(before, canvas_pixels(page)) < 25
        write_splats(tmp_path / "other.ply", make_gaussians(77))
        page.get_by_role("tab", name="Files").click()
        page.set_input_files("#cosmorama-open", tmp_path / "other.ply")
        wait_until(lambda: len(session.scene.gaussians) == 77)
        assert session.scene.motion is None
        write_splats(tmp_path / "dropped.spz", make_gaussians(88))
        drop(page, tmp_path / "dropped.spz")
        wait_until(lambda: len(session.scene.gaussians) == 88)
        (tmp_path / "bad.ply").write_bytes(b"not a ply")
        page.set_input_files("#cosmorama-open", tmp_path / "bad.ply")
        page.wait_for_function("document.getElementById('cosmorama-note').textContent.includes('bad.ply')")
        wait_until(lambda: "Opening" not in page.locator("#cosmorama-note").text_content())
        assert len(session.scene.gaussians) == 88


def note(page):
    return page.locator("#cosmorama-note").text_content()


def test_who_drops_a_photo_is_told_what_can_be_dropped(page, scene, serving, visit, wait_until, tmp_path):
    with serving(scene) as viewer:
        visit(page, viewer)
        Image.new("RGB", (64, 48)).save(tmp_path / "photo.png")
        drop(page, tmp_path / "photo.png")
        wait_until(lambda: "photo.png" in note(page))
        page.wait_for_timeout(500)
        assert ".ply" in note(page)
        assert "cosmorama make" in note(page)


def test_a_refusal_stays_to_be_read(page, scene, serving, visit, wait_until, tmp_path, monkeypatch):
    monkeypatch.setattr("cosmorama.viewer.app.Uploads", partial(Uploads, max_bytes=1 << 20))
    with serving(scene) as viewer:
        visit(page, viewer)
        (tmp_path / "large.PLY").write_bytes(bytes(3 << 20))
        drop(page, tmp_path / "large.PLY")
        wait_until(lambda: "large.PLY" in note(page))
        page.wait_for_timeout(1000)
        assert "at most 1 MiB can be opened" in note(page)


def test_who_loses_the_server_is_told_until_it_is_back(page, scene, serving, visit, wait_until):
    with serving(scene) as viewer:
        visit(page, viewer)
        port = viewer.server.get_port()
    shown = page.locator("#cosmorama-note")
    wait_until(lambda: shown.is_visible() and "server has stopped" in note(page))
    page.wait_for_timeout(3000)
    assert shown.is_visible()
    viewer = Viewer(scene, port=port)
    try:
        wait_until(viewer.sessions)
        wait_until(lambda: not shown.is_visible())
        page.wait_for_timeout(2500)
        assert not shown.is_visible()
    finally:
        viewer.stop()


@pytest.mark.parametrize(
    ("source", "title"),
    [
        (None, "Cosmorama"),
        ({"kind": "photo", "file": "dogs.png"}, "dogs – Cosmorama"),
        ({"kind": "text", "text": "a red sofa"}, "a red sofa – Cosmorama"),
    ],
)
def test_the_tab_says_what_is_shown(
    page, make_gaussians, serving, visit, wait_until, tmp_path, source, title
):
    with serving(Scene(make_gaussians(300), info={"source": source})) as viewer:
        visit(page, viewer)
        wait_until(lambda: page.title() == title)
        if source is None:
            write_splats(tmp_path / "other.ply", make_gaussians(77))
            drop(page, tmp_path / "other.ply")
            wait_until(lambda: page.title() == "other.ply – Cosmorama")


def drop(page, path):
    page.evaluate(
        """([name, base64]) => {
          const data = new DataTransfer(), bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          data.items.add(new File([bytes], name));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def test_a_scene_that_vanishes_from_disk_is_still_shown(
    page, browser, make_gaussians, make_camera, tmp_path, visit, wait_until
):
    folder = tmp_path / "scene"
    (folder / "views").mkdir(parents=True)
    photo = folder / "views" / "0000.png"
    Image.new("RGB", (64, 48), "red").save(photo)
    views = images_from_cameras(make_camera(), image=photo)
    save_scene(folder, Scene(make_gaussians(300), views=[*views, *views]))
    viewer = show_scene(folder, port=0, block=False)
    try:
        session = visit(page, viewer)
        shutil.rmtree(folder)
        page.get_by_text("Show cameras").click()
        page.wait_for_function("document.activeElement === document.body")  # keys walk again
        page.keyboard.down("d")
        wait_until(lambda: float(session.painter.camera().positions[0, 0]) > 0.1)
        page.keyboard.up("d")
        other = browser.new_page(viewport={"width": 480, "height": 200})
        assert len(visit(other, viewer).scene.gaussians) == 300
        other.close()
    finally:
        viewer.stop()


def test_two_viewers_do_not_disturb_each_other(
    browser, page, make_gaussians, make_camera, serving, visit, wait_until
):
    small = Scene(make_gaussians(300), views=images_from_cameras(make_camera()))
    with serving(small) as viewer:
        first = visit(page, viewer)
        other = browser.new_page(viewport={"width": 480, "height": 200})
        second = visit(other, viewer)
        page.get_by_role("tab", name="Edit").click()
        page.get_by_role("button", name="Delete faint").click()
        wait_until(lambda: len(first.scene.gaussians) < 300)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+z")
        wait_until(lambda: len(first.scene.gaussians) == 300)
        other.keyboard.down("s")
        wait_until(lambda: float(second.painter.camera().positions[0, 2]) < -0.2)
        assert float(first.painter.camera().positions[0].norm()) < 0.05
        other.close()
        wait_until(lambda: len(viewer.sessions()) == 1)


def test_a_wrong_token_shows_nothing(page, scene, serving, visit):
    with serving(scene, token="right0right0right") as viewer:
        answer = page.goto(viewer.url.replace("right0", "wrong0"))
        assert answer.status == 403
        assert "token" in page.content()
        visit(page, viewer)


def test_a_growing_scene_is_shown_and_can_be_cancelled(page, scene, make_camera, wait_until):
    live = LiveSession(port=0)
    try:
        page.goto(live.url)
        live.photo(torch.rand(40, 60, 3), scene.views[0])
        live.stage("Fitting splats", 0.5, "step 10", 60)
        page.get_by_text("Fitting splats").wait_for()
        assert live.update(scene.gaussians)
        assert not live.update(scene.gaussians)  # too soon after the first
        wait_until(lambda: any(len(s.scene.gaussians) == 4000 for s in live.viewer.sessions()))
        page.get_by_role("button", name="Cancel").click()
        wait_until(lambda: live.cancelled)
        session = live.viewer.sessions()[0]
        assert (
            float(session.painter.camera().positions.norm()) < 0.05
        )  # seen from the photo's camera all the time
        live.finish(replace(scene, views=images_from_cameras(make_camera())))  # as read from disk
        page.get_by_text("Stopped early").wait_for()
        assert page.get_by_role("button", name="Cancel").count() == 0
    finally:
        live.close()


def draw_shared(page):
    return canvas_pixels(page).astype(int)


def open_shared(page, path):
    page.goto(path.as_uri())
    page.wait_for_function("window.cosmorama && cosmorama.state.drawn > 0")


def test_the_shared_file_agrees_with_our_render(page, scene, tmp_path):
    write_html(tmp_path / "scene.html", scene)
    open_shared(page, tmp_path / "scene.html")
    page.evaluate("cosmorama.walk(0.3, 0.1, 0.8); cosmorama.look(0.2, -0.1)")
    page.wait_for_function("!cosmorama.state.dirty")
    shown = canvas_pixels(page)
    rotation, eye, tan = page.evaluate(
        "[Array.from(cosmorama.camera.rotation), cosmorama.camera.eye, cosmorama.camera.tanHalf]"
    )
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = torch.tensor(rotation).reshape(3, 3).T, torch.tensor(eye)
    height, width = shown.shape[:2]
    k = torch.tensor([[width / 2 / tan[0], 0, width / 2], [0, height / 2 / tan[1], height / 2], [0, 0, 1]])
    ours = render_rgb8(scene.gaussians, Cameras(pose[None], k[None], width, height))
    assert psnr(shown, ours) > 35


def test_the_shared_file_sorts_by_depth_and_plays(page, moving_scene, make_camera, tmp_path):
    sheets = []
    for z, rgb in ((5.0, [0.0, 0, 1]), (3.0, [1.0, 0, 0]), (4.0, [0.0, 1, 0])):  # blue is last, red first
        centre, size = torch.tensor([[0.0, 0, z]]), torch.tensor([0.6])
        sheets.append(gaussians_from_points(centre, torch.tensor([rgb]), size, opacity=0.95))
    write_html(
        tmp_path / "order.html", Scene(cat_gaussians(sheets), views=images_from_cameras(make_camera()))
    )
    open_shared(page, tmp_path / "order.html")
    front = draw_shared(page)[150, 280]
    page.evaluate("cosmorama.walk(0, 0, 8); cosmorama.look(Math.PI, 0)")  # behind them, looking back
    page.wait_for_function("!cosmorama.state.dirty")
    back = draw_shared(page)[150, 280]
    assert front[0] > 200 > 60 > front[2]
    assert back[2] > 200 > 60 > back[0]

    write_html(tmp_path / "moving.html", moving_scene)
    open_shared(page, tmp_path / "moving.html")
    page.evaluate("cosmorama.setPlaying(false); cosmorama.setTime(0.5)")
    page.wait_for_function("!cosmorama.state.dirty")
    shown = canvas_pixels(page)
    tan = page.evaluate("cosmorama.camera.tanHalf")
    height, width = shown.shape[:2]
    k = torch.tensor([[width / 2 / tan[0], 0, width / 2], [0, height / 2 / tan[1], height / 2], [0, 0, 1]])
    half_way = Cameras(torch.eye(4)[None], k[None], width, height)
    assert psnr(shown, render_rgb8(moving_scene.at(0.5), half_way)) > 32
    page.keyboard.press(" ")
    page.wait_for_function("cosmorama.state.time > 0.6 || cosmorama.state.time < 0.4")


@pytest.mark.parametrize("origin", ["http://evil.example"])
def test_a_foreign_page_cannot_reach_the_viewer(page, scene, origin, serving):
    with serving(scene) as viewer:
        page.route(f"{origin}/*", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
        page.goto(f"{origin}/")
        address = viewer.url.replace("http", "ws")
        outcome = page.evaluate(
            "u => new Promise(r => { const s = new WebSocket(u, ['viser-v1.1.1']);"
            " s.onopen = () => r('open'); s.onerror = () => r('refused'); })",
            address,
        )
        assert outcome == "refused"
        assert not viewer.sessions()
