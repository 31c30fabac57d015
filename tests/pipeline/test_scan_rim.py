"""Dark rims of scanned photos."""

import numpy as np

from cosmorama.pipeline.scan_rim import without_rim


def _photo() -> np.ndarray:
    return (0.3 + 0.4 * np.random.default_rng(0).random((300, 400, 3))).astype(np.float32)


def test_a_dark_rim_is_painted_over_and_the_rest_stays() -> None:
    photo = _photo()
    scanned = photo.copy()
    scanned[:, -2:] *= 0.1
    scanned[:, -3] *= 0.5
    scanned[:2] *= 0.2
    cleaned = without_rim(scanned)
    assert np.array_equal(cleaned[2:, :-3], photo[2:, :-3])
    assert cleaned.min() > 0.25


def test_photos_without_a_rim_stay_as_they_are() -> None:
    photo = _photo()
    assert np.array_equal(without_rim(photo), photo)
    night = photo * 0.05
    assert np.array_equal(without_rim(night), night)
    half_dark = photo.copy()
    half_dark[:150] *= 0.1  # a dark ceiling is no rim
    assert np.array_equal(without_rim(half_dark), half_dark)


def test_a_vignette_is_no_rim() -> None:
    x = np.linspace(-1, 1, 400, dtype=np.float32)
    vignetted = _photo() * (1 - 0.7 * x**2)[None, :, None]
    assert np.array_equal(without_rim(vignetted), vignetted)


def test_pictures_too_small_for_a_rim() -> None:
    tiny = np.zeros((32, 32, 3), np.float32)
    assert np.array_equal(without_rim(tiny), tiny)
