"""The estimators' common laws, files, and what is said when weights cannot be had."""

import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import depth_world
import numpy as np
import pytest
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

from cosmorama.pipeline.depth import FAR_DEPTH_M, DepthMap, estimator, load_depth_estimator
from cosmorama.pipeline.depth.estimator import CosmoramaEstimator, load_cosmorama_estimator, token_grid
from cosmorama.pipeline.depth.evaluation import evaluate_folder
from cosmorama.pipeline.depth.frames import read_frame
from cosmorama.pipeline.depth.head import DepthHead, HeadConfig, HeadOutput
from cosmorama.pipeline.depth.picture import SKY, depth_picture, save_depth
from cosmorama.pipeline.depth.sky import far_enough, with_clouds
from cosmorama.pipeline.hub import hub_answers
from cosmorama.pipeline.training.checkpoints import save_weights
from cosmorama.reconstruct.errors import InputError


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> CosmoramaEstimator:
    monkeypatch.setattr(estimator, "dinov2_features", depth_world.fake_features)
    torch.manual_seed(0)
    head = DepthHead(HeadConfig(channels=(16, 16, 8, 8), image_channels=(8, 8, 4), blocks=1))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    final = head.out[-1]
    assert isinstance(final, torch.nn.Conv2d)
    assert final.bias is not None
    torch.nn.init.zeros_(final.bias)
    final.bias.data[2] = -0.1
    return CosmoramaEstimator(head, tokens=30)


@pytest.mark.parametrize(("height", "width"), [(97, 131), (33, 200), (64, 32), (301, 300)])
def test_any_size(ours: CosmoramaEstimator, height: int, width: int) -> None:
    depth = ours(torch.rand(height, width, 3), 100.0)
    assert depth.depth_m.shape == depth.confidence.shape == depth.far.shape == (height, width)
    assert depth.depth_m.isfinite().all()
    assert (depth.depth_m > 0).all()
    assert (depth.depth_m[depth.far] == FAR_DEPTH_M).all()
    assert (depth.confidence >= 0).all()
    assert (depth.confidence <= 1).all()


def test_constants_are_made_on_the_photos_device(
    ours: CosmoramaEstimator, elsewhere: TorchFunctionMode
) -> None:
    image = torch.rand(97, 131, 3)
    here = ours(image, 100.0)
    with elsewhere:
        there = ours(image, 100.0)
    assert torch.equal(here.depth_m, there.depth_m)
    with elsewhere, pytest.raises((RuntimeError, NotImplementedError)):
        (torch.zeros(3) + torch.rand(3, device="cpu")).sum().item()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_says_the_same(ours: CosmoramaEstimator) -> None:
    image = torch.rand(97, 131, 3)
    here = ours(image, 100.0)
    ours.head.cuda()
    there = ours(image, 100.0)
    assert there.depth_m.device == image.device
    assert ((there.depth_m / here.depth_m).log().abs() < 0.02).float().mean() > 0.99
    assert (there.far == here.far).float().mean() > 0.99


def test_twice_the_focal_length_is_twice_the_depth(ours: CosmoramaEstimator) -> None:
    image = torch.rand(60, 80, 3)
    one, two = ours(image, 70.0), ours(image, 140.0)
    solid = ~one.far & (two.depth_m < FAR_DEPTH_M)
    assert solid.any()
    assert torch.allclose(2 * one.depth_m[solid], two.depth_m[solid], rtol=1e-5)
    assert torch.equal(one.confidence, two.confidence)


def test_mirrored_photo_mirrored_depth(ours: CosmoramaEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimator, "look_closer", lambda whole, *_: whole)
    ours.views = ((1.0, False), (1.0, True))
    coarse = torch.rand(1, 3, 7, 10)
    image = torch.nn.functional.interpolate(coarse, (56, 84), mode="bilinear")[0].permute(1, 2, 0)
    one, two = ours(image, 70.0), ours(image.flip(1), 70.0)
    difference = (one.depth_m.log() - two.depth_m.flip(1).log()).abs()
    assert (difference < 0.02).float().mean() > 0.9  # medians of the two sides of an edge may tie


def test_what_looks_like_sky_but_is_near_is_a_wall(ours: CosmoramaEstimator) -> None:
    final = ours.head.out[-1]
    assert isinstance(final, torch.nn.Conv2d)
    assert final.bias is not None
    final.bias.data[2] = 50.0  # all of it looks like sky
    for log_depth, sky in ((1.0, False), (4.0, True)):
        ours.head.shape_probe.weight.data.zero_()
        ours.head.scale_probe.weight.data.zero_()
        ours.head.scale_probe.bias.data.fill_(log_depth)
        ours.head.shape_probe.bias.data.zero_()
        ours.head.steady.weight.data.zero_()
        ours.head.steady.bias.data.fill_(log_depth)
        final.weight.data[0] = 0
        assert (ours(torch.rand(60, 80, 3), 70.0).far == sky).all()


def test_a_piece_of_sky_is_judged_as_a_whole() -> None:
    looks_far = torch.zeros(20, 30, dtype=torch.bool)
    looks_far[:8, :10] = looks_far[:8, 15:] = True
    log_depth = torch.full((20, 30), 1.0)
    log_depth[:8, :10], log_depth[:8, 15:] = 1.3, 4.0  # a backdrop, and sky that comes down to roofs
    log_depth[0, 0], log_depth[7, 15:] = 3.0, 1.2
    far = far_enough(looks_far, log_depth)
    assert not far[:, :12].any()
    assert torch.equal(far[:, 12:], looks_far[:, 12:])


def test_clouds_are_sky() -> None:
    far = torch.ones(60, 100, dtype=torch.bool)
    far[40:] = False  # the ground
    far[36:39, 50:52] = False  # a spire's tip, on the ground but for a gap
    far[range(39, 9, -1), range(20, 50)] = False  # a slanted rope
    cloud, balloon, bank = (
        (slice(5, 9), slice(10, 20)),
        (slice(5, 9), slice(60, 66)),
        (slice(14, 28), slice(80, 100)),
    )
    depth = torch.full((60, 100), 40.0)
    for piece, metres in ((cloud, 20.0), (balloon, 3.0), (bank, 20.0)):
        far[piece], depth[piece] = False, metres
    sky = with_clouds(far, depth, 1.0)
    assert sky[cloud].all()
    sky[cloud] = False
    assert torch.equal(sky, far)  # what is near, large, or close to something larger is none
    assert not with_clouds(far, depth, 5.0)[cloud].any()  # through a longer lens 20 m are near
    for everything in (torch.ones_like(far), torch.zeros_like(far)):
        assert torch.equal(with_clouds(everything, depth, 1.0), everything)


def test_a_small_piece_of_sky_has_to_be_farther_away() -> None:
    looks_far = torch.zeros(20, 30, dtype=torch.bool)
    looks_far[:4, :20] = looks_far[10:13, :3] = looks_far[10:13, 10:13] = True
    log_depth = torch.full((20, 30), 2.0)
    log_depth[10:13, 10:13] = 3.0
    far = far_enough(looks_far, log_depth)
    assert far[:4, :20].all()
    assert not far[10:13, :3].any()
    assert far[10:13, 10:13].all()


def test_depth_steps_are_where_the_photo_has_them(ours: CosmoramaEstimator, monkeypatch) -> None:
    """A coarse answer whose step is soft and a few pixels off comes out steep and in its place."""
    image = torch.full((120, 160, 3), 0.2)
    image[:, 83:] = 0.8
    ramp = torch.linspace(-1, 1, 40).mul(25).sigmoid()[None].expand(30, 40)
    answer = HeadOutput(ramp, torch.zeros(30, 40), torch.full((30, 40), -5.0))
    coarse = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], (30, 40), mode="area")[0]
    monkeypatch.setattr(ours, "_predict", lambda _: (answer, coarse.permute(1, 2, 0)))
    row = ours(image, 100.0).depth_m[60]
    assert row[84] / row[81] > 1.8


def test_token_grid_keeps_aspect_and_count() -> None:
    assert token_grid(640, 480, 300) == (15, 20)
    assert token_grid(480, 640, 300) == (20, 15)
    rows, columns = token_grid(4000, 400, 300)
    assert rows >= 4
    assert columns / rows > 5


def test_missing_weights_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no depth weights"):
        load_cosmorama_estimator(weights=tmp_path / "head.safetensors")


def test_weights_of_another_shape_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    save_weights(path, torch.nn.Linear(2, 2), config={"head": asdict(HeadConfig())})
    with pytest.raises(InputError, match="holds no head of this version"):
        load_cosmorama_estimator(weights=path)


def test_hub_model_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    for kind in ("relative", "metric"):
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[4, 4, 8, 8],
            fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type=kind, max_depth=20,
        )  # fmt: skip
        torch.manual_seed(0)
        transformers.DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path / kind)
        hub = load_depth_estimator(str(tmp_path / kind))
        depth = hub(torch.rand(45, 61, 3), 50.0)
        assert depth.depth_m.shape == (45, 61)
        assert depth.depth_m.isfinite().all()
        assert (depth.depth_m > 0).all()
        assert depth.depth_m.max() <= FAR_DEPTH_M
        assert hub.name == str(tmp_path / kind)


def test_relative_answers_are_inverse_depth(tmp_path: Path) -> None:
    """What a relative model calls larger comes out nearer."""
    from types import SimpleNamespace

    from cosmorama.pipeline.depth.hub_models import HubEstimator

    class Ramp(torch.nn.Module):
        config = SimpleNamespace(model_type="depth_anything", depth_estimation_type="relative", patch_size=14)

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
            height, width = pixel_values.shape[-2:]
            return SimpleNamespace(
                predicted_depth=torch.linspace(0, 9, height)[None, :, None].expand(1, -1, width)
            )

    depth = HubEstimator(Ramp(), "ramp", licence="none")(torch.rand(60, 40, 3), 50.0).depth_m[:, 20]
    assert (depth.diff() <= 1e-4).all()
    assert depth[-1] < 1.2
    assert depth[0] > 15


@pytest.mark.parametrize("offline", [True, False])
def test_unreachable_hub_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], offline: bool
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(InputError, match=r"nobody/no-such-depth-model.*cannot be reached") as caught:
        load_depth_estimator("nobody/no-such-depth-model")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_hub_that_only_refuses_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        assert hub_answers()
        server.shutdown()


class _Doubling:
    name, licences = "doubling", ("none",)

    def __call__(self, image: torch.Tensor, focal_px: float) -> DepthMap:
        depth = torch.full(image.shape[:2], 2 * focal_px / 100)
        return DepthMap(depth, torch.ones_like(depth), torch.zeros_like(depth, dtype=torch.bool))


def _write_frames(folder: Path) -> None:
    np.savetxt(folder / "camera-intrinsics.txt", [[100, 0, 20], [0, 100, 15], [0, 0, 1]])
    for i in range(2):
        Image.new("RGB", (40, 30), (90, 90, 90)).save(folder / f"frame-00000{i}.color.jpg")
        depth = np.full((30, 40), 1000 * (i + 1), np.uint16)
        depth[:5], depth[5:8] = 0, 65535
        Image.fromarray(depth).save(folder / f"frame-00000{i}.depth.png")


def test_evaluation_of_a_folder(tmp_path: Path) -> None:
    _write_frames(tmp_path)
    frame = read_frame(tmp_path / "frame-000000.color.jpg")
    assert frame.focal_px == 100
    assert (frame.depth_m > 0).sum() == 22 * 40
    result = evaluate_folder(_Doubling(), tmp_path)
    assert result["frames"] == 2
    assert result["median"]["absrel"] == pytest.approx(0, abs=1e-6)
    assert result["metric"]["absrel"] == pytest.approx(0.5)  # 2 m for 1 m, and 2 m for 2 m
    assert result["metric"]["delta1"] == pytest.approx(0.5)


@pytest.mark.parametrize("missing", ["camera-intrinsics.txt", "frame-000000.depth.png", "all"])
def test_broken_folders_are_one_line(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "frames"
    if missing != "all":
        folder.mkdir()
        _write_frames(folder)
        (folder / missing).unlink()
        (folder / "frame-000001.depth.png").unlink()
    with pytest.raises(InputError, match=str(folder)):
        evaluate_folder(_Doubling(), folder)


def test_files_hold_the_depth(tmp_path: Path) -> None:
    depth = torch.rand(12, 17) * 80 + 0.2
    save_depth(tmp_path / "d.npy", depth)
    save_depth(tmp_path / "d.png", depth)
    assert np.array_equal(np.load(tmp_path / "d.npy"), depth.numpy())
    millimetres = np.array(Image.open(tmp_path / "d.png")).astype(float)
    assert np.abs(millimetres - np.minimum(depth.numpy() * 1000, 65535)).max() <= 0.51
    with pytest.raises(InputError, match=r"\.npy"):
        save_depth(tmp_path / "d.jpg", depth)


def test_picture_is_bright_near_and_grey_in_the_sky() -> None:
    depth = torch.linspace(1, 50, 200).reshape(10, 20)
    far = depth > 45
    picture = depth_picture(DepthMap(depth, torch.ones_like(depth), far))
    assert picture[0, 0].mean() > picture[5, 0].mean() > 0
    assert torch.allclose(picture[far], torch.tensor(SKY).expand(int(far.sum()), 3))
    assert depth_picture(DepthMap(depth, depth, torch.ones_like(far))).shape == (10, 20, 3)
