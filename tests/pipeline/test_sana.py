"""The large generator: our cameras in its conventions, its frames in ours, with a tiny pipeline of random weights."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cosmorama.pipeline.generators import Memory, ViewRequest
from cosmorama.pipeline.generators.choose import load_generator
from cosmorama.pipeline.generators.sana import SanaGenerator, poses_from_photo, shown_part
from cosmorama.reconstruct.cameras import Cameras, look_at, pinhole_intrinsics
from cosmorama.reconstruct.errors import InputError

W, H = 96, 64


def cameras(count):
    positions = torch.tensor([[0.2 * i, -0.05 * i, 0.1 * i] for i in range(1, count + 1)])
    poses = look_at(positions, torch.tensor([0.0, 0.0, 3.0]).expand(count, 3))
    return Cameras(poses, pinhole_intrinsics(80.0, W, H).expand(count, 3, 3), W, H)


def request(count=2, *, known=0.5, photo_pose=None):
    pose = torch.eye(4) if photo_pose is None else photo_pose
    photo_camera = Cameras(pose[None], pinhole_intrinsics(80.0, W, H)[None], W, H)
    coverage = torch.zeros(count, H, W)
    coverage[:, :, : int(known * W)] = 1
    color = torch.full((count, H, W, 3), 0.25) * coverage[..., None]
    memory = Memory(color, 2 * coverage, coverage)
    return ViewRequest(cameras(count), memory, torch.rand(1, H, W, 3), photo_camera, 3, "a room")


def test_the_path_starts_at_the_photo_and_passes_every_camera():
    away = look_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.5, 9.0]))
    asked = request(3, photo_pose=away)
    poses, where = poses_from_photo(asked.photo_cameras, asked.cameras, between=8)
    assert poses.shape == (25, 4, 4)
    assert where == [8, 16, 24]
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-6)
    world = away @ torch.from_numpy(poses)
    torch.testing.assert_close(world[where], asked.cameras.world_from_cam, atol=1e-4, rtol=1e-4)
    rotations = torch.from_numpy(poses[:, :3, :3])
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(25, 3, 3), atol=1e-5, rtol=0)
    steps = np.linalg.norm(np.diff(poses[:9, :3, 3], axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)


def test_frames_come_back_where_they_belong():
    calls = {}

    def pipeline(image, prompt, **options):
        calls.update(options, prompt=prompt, image=image)
        frames = np.zeros((options["num_frames"], 40, 80, 3), np.float32)
        frames[:] = np.linspace(0, 1, options["num_frames"])[:, None, None, None]
        options["callback_on_step_end"](None, 0, None, {})
        return SimpleNamespace(frames=frames)

    asked, done = request(2), []
    generator = SanaGenerator(pipeline, size=(80, 40), steps=5)
    out = generator(asked, on_progress=lambda i, n: done.append((i, n)))
    assert calls["prompt"] == "a room"
    assert calls["image"].size == (W, H)
    assert calls["intrinsics"] == pytest.approx([80.0, 80.0, W / 2, H / 2])
    assert done == [(1, 5)]
    assert out.shape == (2, H, W, 3)
    known = asked.memory.coverage > 0.5
    assert torch.equal(out[known], asked.memory.color[known])
    left, top, right, bottom = shown_part(W, H, (80, 40))
    assert (left, right) == (0, W)
    assert (top, bottom) == (8, 56)
    assert (out[0, 20:44, -8:].mean() - 8 / 16).abs() < 0.1  # far from the rim the frame shows
    assert (out[1, 20:44, -8:].mean() - 16 / 16).abs() < 0.1


def test_a_tiny_pipeline_runs():
    diffusers = pytest.importorskip("diffusers", minversion="0.42")
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 4,
        spatial_compression_ratio=32, temporal_compression_ratio=8,
    )  # fmt: skip
    transformer = diffusers.SanaWMTransformer3DModel(
        in_channels=8, num_layers=2, hidden_size=32, num_attention_heads=2, linear_head_dim=16,
        softmax_every_n=2, caption_channels=16, chunk_plucker_post_attn_blocks=2, mixed_precision="fp32",
    )  # fmt: skip
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    pipeline = diffusers.SanaWMPipeline(None, None, vae, transformer, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    tokens, mask = torch.randn(1, 6, 16), torch.ones(1, 6)
    with_text = partial(
        pipeline, prompt_embeds=tokens, prompt_attention_mask=mask,
        negative_prompt_embeds=tokens, negative_prompt_attention_mask=mask,
    )  # fmt: skip
    asked = request(1)
    out = SanaGenerator(with_text, size=(96, 64), steps=1)(asked)
    assert out.shape == (1, H, W, 3)
    assert out.isfinite().all()
    assert 0 <= out.min() <= out.max() <= 1
    known = asked.memory.coverage > 0.5
    assert torch.equal(out[known], asked.memory.color[known])


def test_without_a_photo_or_a_gpu_it_says_so():
    blind = request(1)
    blind = ViewRequest(blind.cameras, blind.memory, blind.photos[:0], blind.photo_cameras[[]], 0, "a room")
    with pytest.raises(InputError, match="starts from a photo"):
        SanaGenerator(lambda *a, **k: None)(blind)
    with pytest.raises(InputError, match="needs a CUDA device"):
        load_generator("sana", device="cpu")
    with pytest.raises(InputError, match="none of: inpaint"):
        load_generator("nothing")
