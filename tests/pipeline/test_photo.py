import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from cosmorama.pipeline.photo import DEFAULT_FOV_DEG, check_photo, load_photo
from cosmorama.reconstruct.errors import InputError


def gradient(width=64, height=48) -> np.ndarray:
    """Red grows to the right, green downwards; blue marks the top left corner."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.zeros_like(x)], -1).astype(np.uint8)
    rgb[: height // 4, : width // 4, 2] = 255
    return rgb


def saved(tmp_path, name, image=None, **options):
    path = tmp_path / name
    (image or Image.fromarray(gradient())).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {"quality": 98}),
        ("a.webp", {"lossless": True}),
        ("a.avif", {"quality": 95}),
        ("a.tiff", {}),
    ],
)
def test_common_formats(tmp_path, name, options):
    photo = load_photo(saved(tmp_path, name, **options))
    assert photo.image.shape == (48, 64, 3)
    assert (photo.image - torch.from_numpy(gradient()) / 255).abs().mean() < 0.02


def test_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the photo extra")
    heif.register_heif_opener()
    photo = load_photo(saved(tmp_path, "a.heic", quality=95))
    assert (photo.image - torch.from_numpy(gradient()) / 255).abs().mean() < 0.03


def test_16_bit_grey_keeps_its_precision(tmp_path):
    values = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    photo = load_photo(saved(tmp_path, "a.png", Image.fromarray(values)))
    expected = torch.from_numpy(values.astype(np.float32) / 65535)
    assert torch.allclose(photo.image[..., 1], expected, atol=1e-6)


def test_alpha_is_laid_over_white(tmp_path):
    rgba = np.dstack([gradient(), np.full((48, 64), 255, np.uint8)])
    rgba[:10, :10] = (255, 0, 0, 0)
    photo = load_photo(saved(tmp_path, "a.png", Image.fromarray(rgba)))
    assert torch.equal(photo.image[0, 0], torch.ones(3))
    assert torch.allclose(photo.image[40, 40] * 255, torch.from_numpy(gradient()[40, 40]).float())


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LA", "I", "F"])
def test_every_mode_gives_three_channels(tmp_path, mode):
    photo = load_photo(saved(tmp_path, "a.tiff", Image.fromarray(gradient()).convert(mode)))
    assert photo.image.shape == (48, 64, 3)
    assert 0 <= photo.image.min() < photo.image.max() <= 1


def test_exif_orientation_turns_the_photo_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held turned by 90 degrees
    turned = Image.fromarray(gradient()).transpose(Image.Transpose.ROTATE_90)
    photo = load_photo(saved(tmp_path, "a.png", turned, exif=exif))
    assert photo.image.shape == (48, 64, 3)
    assert photo.image[2, 2, 2] == 1.0
    assert photo.original_size == (64, 48)


def test_focal_length_given_exif_default(tmp_path):
    plain = saved(tmp_path, "a.png")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    with_exif = saved(tmp_path, "b.jpg", exif=exif)
    given = load_photo(plain, focal_px=100.0, long_side=32)
    assert (given.focal_px, given.focal_source) == (50.0, "given")  # pixels of the file, then shrunk with it
    from_exif = load_photo(with_exif)
    assert from_exif.focal_source == "exif"
    assert from_exif.focal_px == pytest.approx(28 * 80 / 43.27)
    default = load_photo(plain)
    assert default.focal_source == "default"
    assert default.camera.fov_x_deg.item() == pytest.approx(DEFAULT_FOV_DEG, abs=1e-3)


def test_resizing_keeps_colours_and_aspect(tmp_path):
    photo = load_photo(saved(tmp_path, "a.png"), long_side=128)
    assert photo.image.shape == (96, 128, 3)
    assert (photo.image[::2, ::2] - torch.from_numpy(gradient()) / 255).abs().mean() < 0.02


def png_of_claimed_size(width: int, height: int) -> bytes:
    """A few bytes that say they are a huge picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + data


def truncated_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gradient(640, 480)).save(buffer, "JPEG")
    return buffer.getvalue()[: buffer.tell() // 2]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("truncated.jpg", truncated_jpeg(), "broken image"),
        ("text.jpg", b"this is no photo\n" * 10, "not an image"),
        ("empty.png", b"", "not an image"),
        ("bomb.png", png_of_claimed_size(29_000, 29_000), "too large"),
        ("wide.png", png_of_claimed_size(40_000, 300), "too large"),
        ("dot.png", png_of_claimed_size(1, 1), "too small"),
        ("thin.png", png_of_claimed_size(4_000, 40), "too long and thin"),
        ("lying.png", png_of_claimed_size(4_000, 3_000), "broken image"),
    ],
)
def test_absurd_input_gets_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        load_photo(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
    if name not in ("truncated.jpg", "lying.png"):  # which only decoding tells
        with pytest.raises(InputError, match=message):
            check_photo(tmp_path / name)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_photo(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="directory"):
        load_photo(tmp_path)


def test_only_files_of_a_sensible_size_are_read(tmp_path):
    (tmp_path / "link.png").symlink_to(saved(tmp_path, "a.png"))
    assert load_photo(tmp_path / "link.png").image.shape == (48, 64, 3)
    (tmp_path / "device.png").symlink_to("/dev/null")
    with pytest.raises(InputError, match="a device or a pipe"):
        load_photo(tmp_path / "device.png")
    (tmp_path / "sparse.jpg").touch()
    os.truncate(tmp_path / "sparse.jpg", 1 << 40)
    with pytest.raises(InputError, match="too large"):
        load_photo(tmp_path / "sparse.jpg")


def test_a_clip_is_told_from_a_photo(tmp_path):
    (tmp_path / "cat.MP4").write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(InputError, match="a clip, where a photo is wanted"):
        load_photo(tmp_path / "cat.MP4")
    with pytest.raises(InputError, match="No such file"):
        load_photo(tmp_path / "dog.mp4")


@pytest.mark.parametrize("focal", [0.0, -5.0, float("nan"), float("inf"), 1.0, 8.0, 8000.0])
def test_absurd_focal_lengths(tmp_path, focal):
    path = saved(tmp_path, "a.png")
    for read in (load_photo, check_photo):
        with pytest.raises(InputError, match="focal length"):
            read(path, focal_px=focal)


@pytest.mark.parametrize("film_mm", [1, 9000])
def test_absurd_focal_lengths_in_exif_are_ignored(tmp_path, film_mm):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = film_mm
    assert load_photo(saved(tmp_path, "a.jpg", exif=exif)).focal_source == "default"
