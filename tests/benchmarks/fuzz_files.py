"""Feed damaged splat files to every reader: each must be read, or refused with one InputError line.

    python tests/benchmarks/fuzz_files.py --inputs 100000 [--formats .spz .sog] [--seed 0] [--keep FOLDER]

Inputs are valid small files that were damaged (bytes flipped, cut, repeated, numbers replaced by extremes; also
inside the compressed payload of .spz and the members of .sog, repacked so that the damage gets past the checksums)
and random bytes behind a valid beginning. A finding is any other exception, a warning, more than 5 seconds of
computing or more than 2 GB beyond what the process had at the start. Prints one JSON object; exit code 1 if there are
findings."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import math
import multiprocessing
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cosmorama.reconstruct.errors import InputError
from cosmorama.reconstruct.files import SPLAT_SUFFIXES, read_splats, write_splats
from cosmorama.reconstruct.gaussians import Gaussians
from cosmorama.reconstruct.motion import Motion

_EXTREMES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x7FC00000,
    0x7F800000,
    10**9,
]
_WORDS = [b"-1", b"0", b"1e999", b"NaN", b"1000000000", b"99999999999999999999", b"null", b"[]", b"{}", b'"x"', b"true",
          b"../../etc/passwd", b"property list uchar int a", b"0.5", b"4294967296"]  # fmt: skip


def seeds(folder: Path, suffixes: Sequence[str] = SPLAT_SUFFIXES) -> dict[str, list[bytes]]:
    """Valid small files of every format, with and without harmonics and motion."""
    generator = torch.Generator().manual_seed(0)
    files: dict[str, list[bytes]] = {}
    for suffix in suffixes:
        for degree, count in ((0, 5), (1, 300), (3, 40)):
            splats = random_splats(count, degree, generator)
            motion = None
            if suffix.startswith(".usd") and degree == 1:
                moved = torch.stack([splats.means, splats.means + 1])
                motion = Motion(torch.tensor([0.0, 1.0]), moved, torch.stack([splats.quats] * 2), 1.0)
            path = folder / f"seed{suffix}"
            write_splats(path, splats, motion=motion, up=torch.tensor([0.0, -1.0, 0.0]), overwrite=True)
            files.setdefault(suffix, []).append(path.read_bytes())
    if ".spz" in files:
        files[".spz"] += [spz_of_version(files[".spz"][1], version) for version in (2, 4)]
    if ".ksplat" in files:
        files[".ksplat"] += [ksplat_at_level(files[".ksplat"][1], level) for level in (1, 2)]
    return files


def spz_of_version(data: bytes, version: int) -> bytes:
    """A .spz file of version 3 as version 2 (rotations in 3 bytes; here none) or 4 (sections packed one by one)."""
    raw = gzip.decompress(data)
    count, degree = struct.unpack_from("<I", raw, 8)[0], raw[12]
    sizes = [9, 1, 3, 3, 4, 3 * ((degree + 1) ** 2 - 1)]
    sections, offset = [], 16
    for size in sizes:
        sections.append(raw[offset : offset + size * count])
        offset += size * count
    head = struct.pack("<4sII", raw[:4], version, count) + raw[12:15]
    if version == 2:
        sections[4] = bytes([128]) * (3 * count)
        return gzip.compress(head + b"\0" + b"".join(sections), 6, mtime=0)
    import zstandard

    packed = [(zstandard.compress(section), len(section)) for section in sections if section]
    toc = b"".join(struct.pack("<QQ", len(stream), size) for stream, size in packed)
    return head + struct.pack("<BI12x", len(packed), 32) + toc + b"".join(stream for stream, _ in packed)


def ksplat_at_level(data: bytes, level: int) -> bytes:
    """A .ksplat file of level 0 with one section at level 1 or 2: 16-bit positions in buckets of 256, half floats."""
    count, degree = struct.unpack_from("<I", data, 16)[0], struct.unpack_from("<H", data, 4096 + 40)[0]
    harmonics = 3 * ((degree + 1) ** 2 - 1)
    row = np.dtype([("real", "<f4", 10), ("rgba", "u1", 4), ("sh", "<f4", harmonics)])
    rows = np.frombuffer(data, row, count, 5120)
    block, bucket = 32.0, 256
    starts = range(0, count, bucket)
    centers = np.stack([rows["real"][i : i + bucket, :3].mean(axis=0) for i in starts]).astype("<f4")
    steps = (rows["real"][:, :3] - centers.repeat(bucket, axis=0)[:count]) / (block / 2 / 32767) + 32767
    sh = (
        rows["sh"].astype("<f2")
        if level == 1
        else ((rows["sh"] + 1.5) / 3 * 255).round().clip(0, 255).astype("u1")
    )
    packed = np.empty(count, [("m", "<u2", 3), ("r", "<f2", 7), ("c", "u1", 4), ("s", sh.dtype, harmonics)])
    packed["m"], packed["r"], packed["c"], packed["s"] = steps.round(), rows["real"][:, 3:], rows["rgba"], sh
    full, partial = divmod(count, bucket)
    header, section = bytearray(data[:4096]), bytearray(data[4096:5120])
    struct.pack_into("<H", header, 20, level)
    struct.pack_into("<IIfHxxI", section, 8, bucket, len(centers), block, 12, 32767)
    struct.pack_into("<II", section, 32, full, 1 if partial else 0)
    lengths = struct.pack("<I", partial) if partial else b""
    return bytes(header + section) + lengths + centers.tobytes() + packed.tobytes()


def random_splats(count: int, degree: int, generator: torch.Generator) -> Gaussians:
    """Splats like those of a scene."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    sh = normal(count, (degree + 1) ** 2, 3) * 0.2
    return Gaussians(normal(count, 3), normal(count, 4), normal(count, 3) * 0.5 - 4, normal(count), sh)


def damage(data: bytes, rng: random.Random) -> bytes:
    """One to four random injuries."""
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        kind = rng.randrange(8)
        at = rng.randrange(len(out) + 1) if rng.random() < 0.5 else rng.randrange(min(len(out), 2000) + 1)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1 and out:
            out[at % len(out)] = rng.randrange(256)
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + rng.choice([1, 4, 32, 1000])]
        elif kind == 4:
            out[at:at] = out[at : at + rng.choice([1, 4, 32, 1000])]
        elif kind == 5:
            out[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_EXTREMES))
        elif kind == 6:
            out[at : at + rng.randrange(6)] = rng.choice(_WORDS)
        else:
            out[at:at] = rng.randbytes(rng.randrange(64))
    return bytes(out)


def damage_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, repeat or shift one to three values anywhere in a JSON text."""
    document = json.loads(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = list(_places(document))
        if not places:
            break
        parent, key = rng.choice(places)
        value = rng.choice(
            [*_EXTREMES, -1, 0.5, -1e30, 1e308, math.nan, math.inf, None, True, "", "../x", [], {}, [[]]]
        )
        kind = rng.randrange(5)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(key, parent[key])
        elif kind <= 3 and type(parent[key]) is int:
            parent[key] += rng.choice([-1, 1, 4, 1 << 20])
        else:
            parent[key] = value
    return json.dumps(document).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON document; of long lists of numbers only the first."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    if isinstance(value, list) and len(value) > 16 and not isinstance(value[0], dict | list):
        keys = keys[:1]
    for key in keys:
        yield value, key
        yield from _places(value[key])


def damage_words(data: bytes, rng: random.Random) -> bytes:
    """Replace or move one to three words of a text header."""
    words = data.split(b" ")
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(words))
        ending = words[at][words[at].find(b"\n") :] if b"\n" in words[at] else b""
        choice = rng.randrange(4)
        if choice == 0:
            words[at] = rng.choice(_WORDS) + ending
        elif choice == 1:
            words[at] = str(rng.choice(_EXTREMES)).encode() + ending
        elif choice == 2:
            words[at] = words[rng.randrange(len(words))]
        else:
            words[at] = (
                rng.choice([b"double", b"uchar", b"int", b"float", b"list", b"vertex", b"x", b"f_rest_0"])
                + ending
            )
    return b" ".join(words)


def damage_inside(suffix: str, data: bytes, rng: random.Random) -> bytes:
    """Damage what a container holds and pack it again, checksums included."""
    if suffix == ".spz":
        return (
            damage(data, rng)
            if data[:2] != b"\x1f\x8b"
            else gzip.compress(damage(gzip.decompress(data), rng), 1)
        )
    if suffix == ".sog":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        victim = rng.choice(["meta.json", rng.choice(list(members))])
        injure = damage_json if victim == "meta.json" and rng.random() < 0.7 else damage
        members[victim] = injure(members[victim], rng)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
            for name, content in members.items():
                archive.writestr(name if rng.random() < 0.99 else f"../{name}", content)
        return out.getvalue()
    if suffix == ".glb":
        length = struct.unpack_from("<I", data, 12)[0]
        text = (damage_json if rng.random() < 0.8 else damage)(data[20 : 20 + length].rstrip(), rng)
        text += b" " * (-len(text) % 4)
        rest = data[20 + length :]
        return data[:8] + struct.pack("<II", 20 + len(text) + len(rest), len(text)) + b"JSON" + text + rest
    end = data.find(b"end_header\n")
    if end > 0:
        return (damage_words if rng.random() < 0.8 else damage)(data[:end], rng) + data[end:]
    return damage(data, rng)


def one_input(suffix: str, valid: list[bytes], rng: random.Random) -> bytes:
    """A damaged file of a format."""
    data = rng.choice(valid)
    choice = rng.random()
    if choice < 0.5:
        return damage(data, rng)
    if choice < 0.95:
        return damage_inside(suffix, data, rng)
    return data[: rng.choice([0, 4, 8, 32, 200])] + rng.randbytes(rng.randrange(4000))


def outcome(path: Path, read: Callable[[Path], object] = read_splats) -> str:
    """``read``, ``refused``, or a traceback."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(path)
    except InputError as error:
        return "refused" if str(error) and "\n" not in str(error) else f"not one line: {error}"
    except Exception:
        return traceback.format_exc()
    return "read"


def fork_usd_workers() -> None:
    """Run each worker of the USD reader in a fork that has the library loaded, many times faster than a new process."""
    from pxr import Sdf, Usd, UsdGeom, UsdVol  # noqa: F401

    from cosmorama.reconstruct.files import usd, usd_worker

    def run(command: list[str], *, timeout: float, **_: object) -> subprocess.CompletedProcess[bytes]:
        source, folder, most, _limit = command[-4:]
        with tempfile.TemporaryFile() as told:
            child = os.fork()
            if child == 0:
                os.dup2(told.fileno(), 2)
                resource.setrlimit(resource.RLIMIT_CPU, (int(timeout), int(timeout)))
                os._exit(usd_worker.guarded(source, folder, int(most), _address_space() + (2 << 30)))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == -signal.SIGXCPU:
                raise subprocess.TimeoutExpired(command, timeout)
            told.seek(0)
            return subprocess.CompletedProcess(command, code, b"", told.read())

    usd.subprocess = SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired)


def main() -> None:
    """Run the fuzzer over the chosen formats, round robin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument(
        "--formats", nargs="+", default=[s for s in SPLAT_SUFFIXES if not s.startswith(".usd")]
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs with findings")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng, counts, findings = random.Random(args.seed), Counter(), Counter()
    signal.signal(signal.SIGPROF, _too_long)
    start = time.time()
    with tempfile.TemporaryDirectory() as name:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # its threads stay there
            valid = pool.submit(seeds, Path(name), args.formats).result()
        if any(suffix.startswith(".usd") for suffix in args.formats):
            fork_usd_workers()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + (2 << 30),) * 2)
        for i in range(args.inputs):
            suffix = args.formats[i % len(args.formats)]
            path = Path(name) / f"input{suffix}"
            path.write_bytes(one_input(suffix, valid[suffix], rng))
            signal.setitimer(signal.ITIMER_PROF, 5)
            result = outcome(path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            counts[f"{suffix} {result if result in ('read', 'refused') else 'FINDING'}"] += 1
            if result not in ("read", "refused"):
                findings[result.strip().splitlines()[-1][:200]] += 1
                if args.keep:
                    args.keep.mkdir(parents=True, exist_ok=True)
                    (args.keep / f"{args.seed}_{i}{suffix}").write_bytes(path.read_bytes())
                    (args.keep / f"{args.seed}_{i}{suffix}.txt").write_text(result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {
        "inputs": args.inputs, "seconds": round(time.time() - start, 1), "counts": dict(sorted(counts.items())),
        "findings": dict(findings), "memory_mb": {"before": before // 1024, "peak": peak // 1024},
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    sys.exit(1 if findings else 0)


def _too_long(*_: object) -> None:
    raise TimeoutError("reading took too long")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
