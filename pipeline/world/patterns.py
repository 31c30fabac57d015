"""Procedural texture patterns: functions ``rng -> float [S, S, 3 or 4]`` in 0..1, sRGB, tiling in both directions.

Noise is made in the Fourier domain, so it is periodic by construction. Patterns named ``*_grey`` have mean 0.8
and are meant to be multiplied by a material's colour.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

SIZE = 512
Pattern = Callable[[np.random.Generator], np.ndarray]


def noise(
    rng: np.random.Generator, power: float = 1.5, *, stretch: tuple[float, float] = (1, 1), size: int = SIZE
) -> np.ndarray:
    """Periodic noise [size, size] of unit variance with spectrum 1/f^power; ``stretch`` elongates it along y, x."""
    fy = np.fft.fftfreq(size)[:, None] * size * stretch[0]
    fx = np.fft.rfftfreq(size)[None, :] * size * stretch[1]
    radius = np.sqrt(fy**2 + fx**2)
    radius[0, 0] = 1
    spectrum = np.exp(2j * np.pi * rng.random(radius.shape)) * radius**-power
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(size, size))
    return field / max(field.std(), 1e-9)


def grid(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates y, x in 0..1 of every texel."""
    line = (np.arange(size) + 0.5) / size
    return np.meshgrid(line, line, indexing="ij")  # pyright: ignore[reportReturnType]


def hsv(h: float, s: float, v: float) -> np.ndarray:
    """A colour as float [3]."""
    return np.array(colorsys.hsv_to_rgb(h % 1, min(max(s, 0), 1), min(max(v, 0), 1)))


def wood_color(rng: np.random.Generator) -> np.ndarray:
    """A plausible colour of wood: pale pine, oak, walnut, grey or whitewashed."""
    choice = rng.random()
    if choice < 0.15:
        return hsv(0.09, rng.uniform(0.03, 0.12), rng.uniform(0.55, 0.85))
    return hsv(
        rng.uniform(0.055, 0.10),
        rng.uniform(0.3, 0.65),
        rng.choice([0.35, 0.5, 0.62, 0.72, 0.8]) * rng.uniform(0.9, 1.1),
    )


def grain(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Wood grain along x, about zero mean."""
    _, x = grid(size)
    y = grid(size)[0]
    warp = 0.02 * noise(rng, 2.0, stretch=(1, 4), size=size)
    rings = np.sin(2 * np.pi * (rng.integers(6, 14) * (y + warp) + 0.3 * np.sin(2 * np.pi * x)))
    fibres = noise(rng, 0.9, stretch=(1, 24), size=size)
    return 0.35 * rings + 0.55 * fibres + 0.5 * noise(rng, 1.6, stretch=(1, 6), size=size)


def wood(rng: np.random.Generator) -> np.ndarray:
    """A board of wood; one tile is about a metre."""
    return wood_color(rng) * (1 + rng.uniform(0.05, 0.13) * grain(rng)[..., None])


def wood_grey(rng: np.random.Generator) -> np.ndarray:
    """Wood grain without colour."""
    return np.repeat(0.8 * (1 + rng.uniform(0.04, 0.1) * grain(rng)[..., None]), 3, axis=2)


def planks(rng: np.random.Generator) -> np.ndarray:
    """A plank or laminate floor; one tile is about 1.4 m."""
    y, x = grid()
    rows = int(rng.choice([6, 8, 10, 14]))
    columns = int(rng.choice([1, 2, 3]))
    row = np.floor(y * rows).astype(int)
    offset = rng.random(rows) if rng.random() < 0.7 else (np.arange(rows) % 2) * 0.5
    along = x * columns + offset[row]
    board = (row * 7 + np.floor(along).astype(int) % columns) % 97
    shade = rng.normal(1, rng.uniform(0.03, 0.13), 97)[board]
    roll = rng.integers(0, SIZE, 97)[board]
    texture = grain(rng)
    rows_index, cols_index = np.indices((SIZE, SIZE))
    texture = texture[(rows_index + roll) % SIZE, (cols_index + roll * 3) % SIZE]
    color = wood_color(rng) * (shade * (1 + rng.uniform(0.04, 0.12) * texture))[..., None]
    gap = np.minimum(
        np.abs(y * rows - np.round(y * rows)) / rows * SIZE,
        np.abs(along - np.round(along)) / columns * SIZE,
    )
    return color * (1 - rng.uniform(0.3, 0.7) * np.exp(-((gap / 1.1) ** 2)))[..., None]


def parquet(rng: np.random.Generator) -> np.ndarray:
    """Basket-weave parquet; one tile is about a metre."""
    y, x = grid()
    cells = int(rng.choice([2, 4]))
    strips = int(rng.choice([4, 5, 6]))
    cell = np.floor(y * cells).astype(int) + np.floor(x * cells).astype(int)
    turned = cell % 2 == 1
    across = np.where(turned, x, y) * cells * strips
    fibres = grain(rng)
    fibres = np.where(turned, fibres.T, fibres)
    index = (np.floor(across).astype(int) * 13 + np.floor(y * cells).astype(int) * 5 + cell * 3) % 89
    shade = rng.normal(1, 0.08, 89)[index] * (1 + 0.08 * fibres)
    gap = np.abs(across - np.round(across)) / (cells * strips) * SIZE
    edge = np.minimum(np.abs(y * cells - np.round(y * cells)), np.abs(x * cells - np.round(x * cells)))
    gap = np.minimum(gap, edge / cells * SIZE)
    return wood_color(rng) * (shade * (1 - 0.5 * np.exp(-(gap**2))))[..., None]


def tiles(rng: np.random.Generator) -> np.ndarray:
    """Floor or wall tiles with joints; one tile of the texture is about 1.2 m."""
    y, x = grid()
    ny = int(rng.choice([2, 3, 4, 6, 8, 12]))
    nx = int(ny * rng.choice([1, 1, 0.5])) or 1
    iy = np.floor(y * ny).astype(int)
    shifted = x * nx + (0.5 * (iy % 2) if nx != ny else 0)
    ix = np.floor(shifted).astype(int) % nx
    if rng.random() < 0.55:
        base = hsv(rng.uniform(0.05, 0.15), rng.uniform(0, 0.25), rng.uniform(0.55, 0.95))
    else:
        base = hsv(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.9))
    color = np.broadcast_to(base, (SIZE, SIZE, 3)).copy()
    if rng.random() < 0.25:
        color[(iy + ix) % 2 == 0] = hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.15, 0.95))
    shade = rng.normal(1, rng.uniform(0.0, 0.07), (ny, nx))[iy, ix]
    veins = rng.uniform(0, 0.06) * noise(rng, 1.4)
    color *= (shade + veins)[..., None]
    gap = np.minimum(np.abs(y * ny - np.round(y * ny)) / ny, np.abs(shifted - np.round(shifted)) / nx) * SIZE
    joint = np.exp(-((gap / rng.uniform(1.2, 2.5)) ** 4))[..., None]
    mortar = hsv(0.1, 0.05, rng.choice([0.3, 0.6, 0.85])) * (1 + 0.05 * noise(rng, 1.0))[..., None]
    return color * (1 - joint) + mortar * joint


def plaster_grey(rng: np.random.Generator) -> np.ndarray:
    """Painted plaster: nearly even, with stains and roller marks."""
    mottled = 0.012 * noise(rng, 1.8) + rng.uniform(0.003, 0.02) * noise(rng, 0.5)
    return np.repeat((0.8 * (1 + mottled))[..., None], 3, axis=2)


def wallpaper(rng: np.random.Generator) -> np.ndarray:
    """Stripes, dots or a lattice of ornaments; one tile is about 0.8 m."""
    y, x = grid()
    base = hsv(rng.random(), rng.uniform(0.03, 0.3), rng.uniform(0.6, 0.95))
    ink = np.clip(base * rng.uniform(0.6, 1.25) + rng.normal(0, 0.06, 3), 0, 1)
    n = int(rng.choice([4, 6, 8, 12]))
    kind = rng.integers(4)
    if kind == 0:
        mask = np.sin(2 * np.pi * n * x) > rng.uniform(-0.7, 0.7)
    elif kind == 1:
        stagger = 0.5 * (np.floor(y * n) % 2)
        mask = np.hypot(y * n % 1 - 0.5, (x * n + stagger) % 1 - 0.5) < rng.uniform(0.15, 0.4)
    elif kind == 2:
        u, v = 2 * np.pi * n * x, 2 * np.pi * n * y
        mask = np.sin(u) * np.sin(v) + 0.5 * np.sin(2 * u) * np.cos(v) > rng.uniform(-0.2, 0.4)
    else:
        motif = noise(rng, 2.0, size=128)
        motif = (motif + motif[:, ::-1]) > 0.6
        tiled = np.tile(motif, (4, 4))
        mask = np.where((np.floor(x * 4) % 2 == 0), tiled, np.roll(tiled, 64, axis=0))
    soft = mask[..., None] * rng.uniform(0.4, 1.0)
    return (base * (1 - soft) + ink * soft) * (1 + 0.015 * noise(rng, 0.6))[..., None]


def carpet(rng: np.random.Generator) -> np.ndarray:
    """Carpet, sometimes striped; one tile is about a metre."""
    y, _ = grid()
    base = hsv(rng.random(), rng.uniform(0.0, 0.5), rng.uniform(0.2, 0.75))
    fuzz = 0.13 * noise(rng, 0.15) + 0.06 * noise(rng, 1.3)
    color = np.broadcast_to(base, (SIZE, SIZE, 3)).copy()
    if rng.random() < 0.4:
        stripes = int(rng.choice([16, 32, 64]))
        values = rng.normal(1, 0.3, (stripes, 1)) + rng.normal(0, 0.05, (stripes, 3))
        color *= values[(np.floor(y * stripes)).astype(int)]
    return color * (1 + fuzz)[..., None]


def fabric_grey(rng: np.random.Generator) -> np.ndarray:
    """Woven cloth; one tile is about 0.5 m."""
    y, x = grid()
    n = int(rng.choice([48, 64, 96]))
    weave = np.sin(2 * np.pi * n * x) * np.sin(2 * np.pi * n * y)
    value = 0.8 * (1 + 0.07 * weave + 0.05 * noise(rng, 0.4) + 0.03 * noise(rng, 1.6))
    return np.repeat(value[..., None], 3, axis=2)


def fabric_print(rng: np.random.Generator) -> np.ndarray:
    """Printed cloth: checks, stripes or blots of two or three colours; one tile is about 0.6 m."""
    y, x = grid()
    a, b = (hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.95)) for _ in range(2))
    n = int(rng.choice([3, 5, 8, 12]))
    kind = rng.integers(3)
    if kind == 0:
        amount = 0.5 * (np.sin(2 * np.pi * n * x) > 0) + 0.5 * (np.sin(2 * np.pi * n * y) > 0)
    elif kind == 1:
        amount = (np.sin(2 * np.pi * n * (x + y)) > rng.uniform(-0.5, 0.5)).astype(float)
    else:
        amount = (noise(rng, 2.2) > 0.3).astype(float)
    color = a * (1 - amount[..., None]) + b * amount[..., None]
    return color * (1 + 0.06 * noise(rng, 0.4))[..., None]


def leather_grey(rng: np.random.Generator) -> np.ndarray:
    """Leather or matt plastic: a fine pebbled grain."""
    value = 0.8 * (1 + 0.06 * np.abs(noise(rng, 0.8)) - 0.05 + 0.04 * noise(rng, 1.8))
    return np.repeat(value[..., None], 3, axis=2)


def metal_grey(rng: np.random.Generator) -> np.ndarray:
    """Brushed or lacquered metal."""
    value = 0.8 * (1 + 0.03 * noise(rng, 0.4, stretch=(1, 30)) + 0.02 * noise(rng, 1.8))
    return np.repeat(value[..., None], 3, axis=2)


def concrete(rng: np.random.Generator) -> np.ndarray:
    """Concrete or screed; one tile is about 2 m."""
    base = hsv(rng.uniform(0.05, 0.15), rng.uniform(0, 0.1), rng.uniform(0.4, 0.75))
    return base * (1 + 0.06 * noise(rng, 1.5) + 0.05 * noise(rng, 0.3))[..., None]


def marble(rng: np.random.Generator) -> np.ndarray:
    """Polished stone with veins or speckles (worktops); one tile is about a metre."""
    if rng.random() < 0.5:
        veins = np.exp(-(((noise(rng, 1.7)) / rng.uniform(0.05, 0.2)) ** 2))
        base = hsv(rng.uniform(0, 0.2), rng.uniform(0, 0.15), rng.choice([0.15, 0.5, 0.85, 0.92]))
        vein = hsv(rng.uniform(0, 0.2), 0.1, rng.uniform(0.2, 0.9))
        amount = (rng.uniform(0.15, 0.6) * veins * (0.5 + 0.5 * np.tanh(noise(rng, 2.0))))[..., None]
        return base * (1 - amount) + vein * amount + 0.015 * noise(rng, 1.0)[..., None]
    speckle = np.stack([noise(rng, 0.5) for _ in range(3)], axis=-1)
    base = hsv(rng.random(), rng.uniform(0, 0.15), rng.choice([0.12, 0.2, 0.4, 0.6]))
    return base * (1 + 0.35 * speckle.mean(axis=-1, keepdims=True) + 0.08 * speckle)


def brick(rng: np.random.Generator) -> np.ndarray:
    """A brick wall; one tile is about 1.3 m."""
    y, x = grid()
    rows, columns = 16, 6
    row = np.floor(y * rows).astype(int)
    along = x * columns + 0.5 * (row % 2)
    column = np.floor(along).astype(int) % columns
    hue = rng.choice([0.02, 0.04, 0.07, 0.1])
    base = hsv(hue, rng.uniform(0.05, 0.6), rng.uniform(0.45, 0.85))
    shade = rng.normal(1, 0.12, (rows, columns, 1)) + rng.normal(0, 0.03, (rows, columns, 3))
    color = base * shade[row, column] * (1 + 0.08 * noise(rng, 0.8))[..., None]
    gap = (
        np.minimum(np.abs(y * rows - np.round(y * rows)) / rows, np.abs(along - np.round(along)) / columns)
        * SIZE
    )
    joint = np.exp(-((gap / 2.6) ** 4))[..., None]
    mortar = hsv(0.1, 0.08, rng.uniform(0.5, 0.85)) * (1 + 0.06 * noise(rng, 0.5))[..., None]
    return color * (1 - joint) + mortar * joint


def stone_wall(rng: np.random.Generator) -> np.ndarray:
    """Rubble or paving: irregular cells with joints; one tile is about 2 m."""
    count = int(rng.integers(25, 120))
    y, x = grid(256)
    seeds = rng.random((count, 2))
    best = np.full((256, 256), 9.0)
    second = np.full((256, 256), 9.0)
    owner = np.zeros((256, 256), int)
    for index, (sy, sx) in enumerate(seeds):
        dy, dx = np.abs(y - sy), np.abs(x - sx)
        distance = np.hypot(np.minimum(dy, 1 - dy), np.minimum(dx, 1 - dx))
        closer = distance < best
        second = np.where(closer, best, np.minimum(second, distance))
        owner = np.where(closer, index, owner)
        best = np.where(closer, distance, best)
    base = hsv(rng.uniform(0.03, 0.15), rng.uniform(0.02, 0.25), rng.uniform(0.4, 0.75))
    shade = rng.normal(1, 0.13, (count, 1)) + rng.normal(0, 0.02, (count, 3))
    color = base * shade[owner] * (1 + 0.07 * noise(rng, 1.0, size=256))[..., None]
    joint = np.exp(-(((second - best) * 256 / 3.0) ** 2))[..., None]
    return np.kron(color * (1 - joint) + 0.4 * base * joint, np.ones((2, 2, 1)))


def grass(rng: np.random.Generator) -> np.ndarray:
    """A meadow or lawn; one tile is about 2.5 m."""
    base = hsv(rng.uniform(0.16, 0.3), rng.uniform(0.3, 0.65), rng.uniform(0.3, 0.55))
    dry = hsv(rng.uniform(0.1, 0.16), 0.4, 0.6)
    amount = np.clip(0.25 + 0.3 * noise(rng, 1.6), 0, 1)[..., None]
    blades = 1 + 0.28 * noise(rng, 0.35, stretch=(1, 3)) + 0.1 * noise(rng, 1.0)
    return (base * (1 - amount) + dry * amount) * blades[..., None]


def asphalt(rng: np.random.Generator) -> np.ndarray:
    """A road's surface; one tile is about 3 m."""
    base = hsv(rng.uniform(0.05, 0.65), rng.uniform(0, 0.08), rng.uniform(0.25, 0.55))
    cracks = np.exp(-((noise(rng, 1.3) / 0.03) ** 2)) * (noise(rng, 2.0) > 0.8)
    return base * (1 + 0.12 * noise(rng, 0.1) + 0.07 * noise(rng, 1.6) - 0.4 * cracks)[..., None]


def dirt(rng: np.random.Generator) -> np.ndarray:
    """Earth, sand, gravel or snow; one tile is about 2.5 m."""
    base = hsv(rng.uniform(0.05, 0.13), rng.uniform(0.02, 0.5), rng.choice([0.35, 0.5, 0.7, 0.9]))
    return base * (1 + 0.14 * noise(rng, 0.4) + 0.12 * noise(rng, 1.5))[..., None]


def roof(rng: np.random.Generator) -> np.ndarray:
    """Roof tiles; one tile of the texture is about 2 m."""
    y, x = grid()
    rows = 10
    row = np.floor(y * rows).astype(int)
    base = hsv(rng.choice([0.01, 0.04, 0.6]), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.6))
    bump = 0.75 + 0.25 * np.abs(np.sin(np.pi * (x * 12 + 0.5 * (row % 2))))
    step = 0.6 + 0.4 * (y * rows % 1)
    return base * (bump * step * (1 + 0.08 * noise(rng, 0.8)))[..., None]


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Foliage with holes (alpha); one tile is about a metre."""
    density = noise(rng, 0.9)
    base = hsv(rng.uniform(0.16, 0.36), rng.uniform(0.35, 0.75), rng.uniform(0.25, 0.55))
    color = base * (1 + 0.3 * noise(rng, 0.9))[..., None]
    return np.concatenate([color, (density > -0.35)[..., None]], axis=-1)


def clouds(rng: np.random.Generator) -> np.ndarray:
    """Density of clouds; grey, linear values in the sRGB code."""
    density = np.clip(0.5 + 0.2 * noise(rng, 1.7), 0, 1)
    return np.repeat((density ** (1 / 2.2))[..., None], 3, axis=2)


def picture(rng: np.random.Generator) -> np.ndarray:
    """Something to hang on a wall: a landscape, an abstract of blots and bars, or a figure."""
    y, x = grid(256)
    kind = rng.integers(4)
    a, b, c = (hsv(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.15, 1.0)) for _ in range(3))
    image = a * (1 - y[..., None]) + b * y[..., None]
    if kind == 0:
        for level in np.sort(rng.uniform(0.3, 0.9, rng.integers(2, 5))):
            ridge = level + 0.05 * noise(rng, 1.5, size=256)[0] + 0.02 * noise(rng, 1.0, size=256)[3]
            color = hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.8))
            image = np.where((y > ridge[None])[..., None], color, image)
    elif kind == 1:
        for _ in range(rng.integers(4, 14)):
            color = hsv(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.1, 1))
            cy, cx, h, w = rng.random(4)
            mask = (np.abs(y - cy) < h * 0.3) & (np.abs(x - cx) < w * 0.3)
            if rng.random() < 0.5:
                mask = np.hypot(y - cy, x - cx) < 0.3 * h
            image = np.where(mask[..., None], color, image)
    elif kind == 2:
        image = image * (1 + 0.4 * noise(rng, 1.5, size=256)[..., None])
        image = np.where((noise(rng, 2.0, size=256) > 0.7)[..., None], c, image)
    else:
        head = np.hypot((y - 0.38) * 1.0, (x - 0.5) * 1.25) < 0.16
        body = (np.hypot((y - 1.0) * 0.8, (x - 0.5)) < 0.36) & (y > 0.5)
        image = np.where(body[..., None], c, image)
        image = np.where(head[..., None], hsv(0.07, 0.45, rng.uniform(0.3, 0.9)), image)
        image = image * (1 + 0.1 * noise(rng, 1.2, size=256)[..., None])
    border = int(rng.choice([0, 0, 12, 24]))
    if border:
        frame = np.ones((256, 256, 1)) * 0.93
        frame[border:-border, border:-border] = 0
        image = image * (frame == 0) + frame
    return image


def cover(rng: np.random.Generator) -> np.ndarray:
    """A book cover, magazine, package or sheet of paper with lines of writing."""
    base = hsv(rng.random(), rng.uniform(0, 0.9), rng.uniform(0.1, 1.0))
    if rng.random() < 0.35:
        base = np.full(3, rng.uniform(0.85, 0.97))
    image = np.broadcast_to(base, (256, 256, 3)).copy()
    ink = np.full(3, 0.08) if base.mean() > 0.45 else np.full(3, 0.92)
    if rng.random() < 0.5:
        top, left = rng.integers(20, 120), rng.integers(10, 60)
        inset = picture(rng)[::2, ::2][: 256 - top, : 256 - left]
        image[top : top + inset.shape[0], left : left + inset.shape[1]] = inset
    line = int(rng.integers(14, 30))
    while line < 240:
        height = int(rng.choice([3, 4, 6, 14]))
        at = int(rng.integers(14, 40))
        end = int(rng.integers(100, 245))
        while at < end:
            word = int(rng.integers(4, 30))
            glyphs = rng.random((height, word)) < 0.6
            region = image[line : line + height, at : at + word]
            region[glyphs[: region.shape[0], : region.shape[1]]] = ink
            at += word + 4
        line += height + int(rng.integers(4, 26))
        if rng.random() < 0.12:
            line += 60
    return image


def facade(rng: np.random.Generator) -> np.ndarray:
    """A house front of two floors by three windows; one tile is about 6 m."""
    y, x = grid()
    wall = [brick, concrete, stone_wall, plaster_grey][rng.integers(4)](rng)
    if wall.std() < 0.05:
        wall = wall * hsv(rng.random(), rng.uniform(0, 0.45), rng.uniform(0.5, 1.1))
    columns, rows = int(rng.choice([2, 3, 4])), 2
    u, v = (x * columns) % 1, (y * rows) % 1
    w, h = rng.uniform(0.2, 0.38), rng.uniform(0.25, 0.36)
    inside = (np.abs(u - 0.5) < w) & (np.abs(v - 0.5) < h)
    frame = inside & ~((np.abs(u - 0.5) < w - 0.04) & (np.abs(v - 0.5) < h - 0.03))
    frame |= inside & ((np.abs(u - 0.5) < 0.015) | (np.abs(v - 0.45) < 0.012))
    sill = (np.abs(u - 0.5) < w + 0.03) & (np.abs(v - 0.5 - h) < 0.025)
    cell = (np.floor(y * rows) * columns + np.floor(x * columns)).astype(int)
    glass = rng.uniform(0.05, 0.35, rows * columns)[cell][..., None] * np.array([0.85, 0.95, 1.05])
    glass = glass * (1.2 - 0.5 * v[..., None]) + 0.05 * noise(rng, 1.8)[..., None]
    image = np.where(inside[..., None], glass, wall)
    return np.where((frame | sill)[..., None], np.full(3, rng.uniform(0.2, 0.95)), image)


PATTERNS: dict[str, Pattern] = {
    f.__name__: f
    for f in (
        wood, wood_grey, planks, parquet, tiles, plaster_grey, wallpaper, carpet, fabric_grey, fabric_print,
        leather_grey, metal_grey, concrete, marble, brick, stone_wall, grass, asphalt, dirt, roof, leaves,
        clouds, picture, cover, facade,
    )
}  # fmt: skip
