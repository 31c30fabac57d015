import json

import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.commands.eval_codec import EvalCodec
from cosmorama.pipeline.latents.bands import (
    band_loss,
    band_psnr,
    band_weights,
    contrast_sensitivity,
    laplacian_pyramid,
    psnr,
)
from cosmorama.pipeline.latents.codec import Codec, CodecConfig, codec_config_dict, codec_from_file
from cosmorama.pipeline.latents.photos import Photos, is_held_out, load_photos, photo_paths, world_frames
from cosmorama.pipeline.latents.training import judge_codec, train_codec
from cosmorama.pipeline.training.checkpoints import save_weights
from cosmorama.pipeline.training.loop import LoopConfig
from cosmorama.pipeline.training.processes import Processes
from cosmorama.pipeline.world.shards import scene_name
from cosmorama.reconstruct.errors import InputError

SMALL = CodecConfig(channels=12, fine_width=8, width=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1))
ALONE = Processes(0, 1, torch.device("cpu"))


def smooth_photos(count=6, size=136):
    generator = torch.Generator().manual_seed(0)
    grids = torch.rand(count, 3, 6, 6, generator=generator)
    images = torch.nn.functional.interpolate(grids, (size, size), mode="bicubic").clamp(0, 1)
    return Photos(tuple((image.permute(1, 2, 0) * 255).byte().numpy() for image in images))


def test_the_linear_start_is_the_principal_components():
    codec = Codec(SMALL)
    crops = smooth_photos().crops(200, 32, torch.Generator().manual_seed(1))
    patches = torch.nn.functional.pixel_unshuffle(crops, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    codec.start_from_patches(patches)
    raw = codec.raw_latents(crops)
    assert raw.square().mean().sqrt().item() == pytest.approx(1.0, rel=0.02)
    centred = patches - patches.mean(0)
    _, singular, _ = torch.linalg.svd(centred.double(), full_matrices=False)
    lost = (singular[12:] ** 2).sum() / centred.numel()
    error = (codec.pixels(raw) - crops).square().mean()
    assert error.item() == pytest.approx(lost.item(), rel=0.01)


def test_encode_normalises_and_decode_undoes_it():
    codec = Codec(SMALL)
    for parameter in codec.parameters():
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    crops = smooth_photos().crops(8, 32, torch.Generator().manual_seed(1))
    codec.set_statistics(codec.raw_latents(crops))
    images = ((crops + 1) / 2).permute(0, 2, 3, 1)
    latents = codec.encode(images)
    assert latents.shape == (8, 12, 4, 4)
    assert latents.square().mean().item() == pytest.approx(1.0, rel=1e-3)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(12), atol=1e-4, rtol=0)
    expected = (codec.pixels(codec.raw_latents(crops)) / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(codec.decode(latents), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codec.encode(images.view(2, 4, 32, 32, 3)).flatten(0, 1), latents)
    with pytest.raises(InputError, match="30x32"):
        codec.encode(images[:, :, :30])


def test_weights_survive_a_file(tmp_path):
    codec = Codec(SMALL)
    path = tmp_path / "codec.safetensors"
    save_weights(path, codec, config=codec_config_dict(codec))
    again = codec_from_file(path)
    assert again.config == SMALL
    images = torch.rand(1, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again.encode(images), codec.encode(images), atol=0.02, rtol=0.02)
    with pytest.raises(InputError, match="holds no weights"):
        codec_from_file(tmp_path / "missing.safetensors")


def test_default_codec_is_small_enough():
    assert sum(p.numel() for p in Codec().parameters()) < 4_000_000


def test_training_improves_on_the_linear_start_and_leaves_a_codec(tmp_path):
    photos = smooth_photos()
    start = Codec(SMALL)
    loop = LoopConfig(steps=60, learning_rate=3e-3, warmup_steps=5, checkpoint_every=60, ema_decay=0.9)
    reports = []

    def run(steps):
        return train_codec(
            photos, photos, SMALL, LoopConfig(**{**loop.__dict__, "steps": steps}), batch_size=4, crop=32,
            out=tmp_path / str(steps), processes=ALONE, on_progress=lambda *a, **k: reports.append(k),
        )  # fmt: skip

    before = judge_codec(run(1), photos, crop=32)["psnr"]
    after = judge_codec(run(60), photos, crop=32)["psnr"]
    assert after > before + 0.3
    assert codec_from_file(tmp_path / "60" / "codec.safetensors").config == start.config
    assert any("band_snr_fine_to_coarse" in report for report in reports)


def test_a_decoder_trained_further_keeps_the_latents(tmp_path):
    photos = smooth_photos()
    crops = photos.crops(50, 32, torch.Generator().manual_seed(1))
    start = Codec(SMALL)
    start.start_from_patches(
        torch.nn.functional.pixel_unshuffle(crops, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    )
    start.set_statistics(start.raw_latents(crops))
    start.synthesis.weight.data *= 0.8
    loop = LoopConfig(steps=60, learning_rate=3e-3, warmup_steps=5, checkpoint_every=60, ema_decay=0.9)
    further = train_codec(
        photos, photos, SMALL, loop, batch_size=4, crop=32, out=tmp_path, processes=ALONE, decoder_of=start
    )
    assert judge_codec(further, photos, crop=32)["psnr"] > judge_codec(start, photos, crop=32)["psnr"] + 1
    images = (crops.permute(0, 2, 3, 1) + 1) / 2
    torch.testing.assert_close(further.encode(images), start.encode(images))


class FakeWorld:
    """Forty scenes of three frames, each of its own brightness."""

    def __init__(self):
        self.scenes = {number: {"frames": [None] * 3} for number in range(40)}

    def rgb(self, scene, frame):
        return np.full((40, 48, 3), 6 * scene + frame, np.uint8)


def test_world_frames_are_those_not_held_out():
    frames = world_frames(FakeWorld(), every=2)
    kept = [
        6 * number + frame
        for number in range(40)
        if not is_held_out(scene_name(number))
        for frame in range(3)
    ]
    assert 0 < len(kept) < 120
    assert [int(image[0, 0, 0]) for image in frames.images] == kept[::2]
    assert (frames + frames).centres(32).shape == (2 * len(kept[::2]), 3, 32, 32)


def test_laplacian_pyramid_adds_up_and_separates_frequencies():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    bands = laplacian_pyramid(images, 3)
    assert [b.shape[-1] for b in bands] == [32, 16, 8, 4]
    total = bands[-1]
    for band in bands[-2::-1]:
        total = band + torch.nn.functional.interpolate(
            total, scale_factor=2, mode="bilinear", align_corners=False
        )
    torch.testing.assert_close(total, images)
    x = torch.arange(64.0)
    for period, strongest in ((2.7, 0), (8.0, 1), (16.0, 2)):
        wave = torch.sin(2 * torch.pi * x / period).expand(1, 1, 64, 64)
        energy = [band.square().mean().item() for band in laplacian_pyramid(wave, 3)[:3]]
        assert max(range(3), key=energy.__getitem__) == strongest, (period, energy)


def test_contrast_sensitivity_peaks_near_8_cycles_per_degree():
    values = [contrast_sensitivity(f) for f in (0.5, 2, 8, 20, 40)]
    assert max(values) == values[2]
    assert values[2] == pytest.approx(0.98, abs=0.03)
    assert values[4] < 0.2
    luma, color = band_weights(3)
    assert luma[1] == luma[2] > luma[0]
    assert color[0] < color[1] < color[2] == 1.0


def test_band_loss_and_band_psnr_measure_errors():
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert band_loss(images, images) == 0
    checker = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 0.1
    ratios = band_psnr(images + checker, images)
    assert ratios[0] < ratios[2]
    assert psnr(images + 0.1, images) == pytest.approx(20.0, abs=1e-4)


def test_photos_are_split_by_name_and_cropped_reproducibly(tmp_path):
    for i in range(40):
        Image.new("RGB", (48, 40), (i * 5, 10, 200)).save(tmp_path / f"{i}.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    held, kept = (photo_paths(tmp_path, held_out=flag) for flag in (True, False))
    assert len(held) + len(kept) == 41
    assert 0 < len(held) < 12
    assert all(is_held_out(p.stem) for p in held)
    photos = load_photos(kept + held, min_side=32)
    assert len(photos.images) == 40
    a, b, c = (photos.crops(6, 32, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (6, 3, 32, 32)
    assert a[:, 2].unique().numel() == 1  # blue is the same everywhere
    with pytest.raises(InputError, match="holds no photos"):
        photo_paths(tmp_path / "nothing", held_out=False)


def test_the_codec_is_judged_on_held_out_photos_only(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for number in range(30):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    EvalCodec(tmp_path, crop=32, json=True).run()
    report = json.loads(capsys.readouterr().out)
    assert report["photos"] == sum(is_held_out(str(number)) for number in range(30)) > 0
    assert report["parameters"] < 4_000_000
    assert 5 < report["psnr"] < 20  # noise does not come through a bottleneck
    assert len(report["band_snr_fine_to_coarse"]) == 4
    for bad in (EvalCodec(tmp_path, crop=12), EvalCodec(tmp_path, crop=64)):
        with pytest.raises(InputError):
            bad.run()
