"""Photos of the open: parts of the head for them alone, called for by a probe."""

from pathlib import Path

import depth_world
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from cosmorama import assets
from cosmorama.pipeline.commands.eval_depth import EvalDepth
from cosmorama.pipeline.commands.train_depth import TrainDepth
from cosmorama.pipeline.commands.train_outdoors import TrainOutdoors
from cosmorama.pipeline.depth import estimator
from cosmorama.pipeline.depth.estimator import OUTDOORS, WEIGHTS, CosmoramaEstimator, load_head
from cosmorama.pipeline.depth.head import DepthHead, HeadConfig
from cosmorama.pipeline.depth.outdoor_head import OutdoorHead, fit_probe, load_outdoor_head, save_outdoor_head
from cosmorama.pipeline.depth.training import freeze_all_but
from cosmorama.pipeline.depth.whole_sky import SkyProbe
from cosmorama.pipeline.training.checkpoints import load_weights, save_weights
from cosmorama.pipeline.world.render import Rendered
from cosmorama.pipeline.world.shards import ShardWriter, frame_files
from cosmorama.reconstruct.errors import InputError

SMALL = HeadConfig(channels=(16, 16, 8, 8), image_channels=(8, 8, 4), blocks=1)


def random_head(seed: int) -> DepthHead:
    torch.manual_seed(seed)
    head = DepthHead(SMALL).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return head


@pytest.fixture
def photo(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    monkeypatch.setattr(estimator, "dinov2_features", depth_world.fake_features)
    return torch.rand(96, 128, 3, generator=torch.Generator().manual_seed(0))


def sure_of(outdoors: DepthHead, chance: float) -> OutdoorHead:
    count = len(outdoors.config.layers) * 384
    return OutdoorHead(outdoors, torch.zeros(count), torch.tensor(chance).logit())


def test_the_rest_of_a_sky_is_looked_for_in_the_open_alone(
    photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimator, "rest_of_sky", lambda tokens, far, depth, probe: torch.ones_like(far))
    monkeypatch.setattr(estimator, "far_enough", lambda looks_far, log_depth: looks_far)
    rooms, outdoors, probe = random_head(0), random_head(1), SkyProbe(torch.zeros(384), torch.tensor(0.0))
    for chance, found in ((0.1, False), (0.99, True)):
        parts = sure_of(outdoors, chance)
        without, with_probe = (
            CosmoramaEstimator(rooms, outdoors=parts, sky=sky, tokens=30)(photo, 100.0).far
            for sky in (None, probe)
        )
        assert not without.all()
        assert torch.equal(with_probe, without) != found
        assert bool(with_probe.all()) == found


@pytest.mark.parametrize(("focal_px", "is_sky"), [(10.0, False), (50.0, True)])
def test_the_skyline_is_moved_and_things_are_set_upright_last(
    photo: torch.Tensor, monkeypatch: pytest.MonkeyPatch, focal_px: float, is_sky: bool
) -> None:
    monkeypatch.setattr(estimator, "align_depth", lambda depth, photo, **_: torch.full_like(depth, 2.0))
    monkeypatch.setattr(estimator, "follow_skyline", lambda depth, photo: depth + 1)
    monkeypatch.setattr(estimator, "straighten", lambda depth, focal_px: depth * focal_px)
    said = CosmoramaEstimator(random_head(0), tokens=30)(photo, focal_px)
    assert (said.depth_m == 3 * focal_px).all()
    assert (said.far == is_sky).all()


def test_each_photo_is_read_by_the_head_that_its_kind_calls_for(photo: torch.Tensor) -> None:
    rooms, outdoors = random_head(0), random_head(1)

    def depth(estimator: CosmoramaEstimator) -> torch.Tensor:
        return estimator(photo, 100.0).depth_m

    of_rooms = depth(CosmoramaEstimator(rooms, tokens=30))
    of_outdoors = depth(CosmoramaEstimator(outdoors, tokens=30))
    assert not torch.allclose(of_rooms, of_outdoors)
    for chance, wanted in ((0.1, of_rooms), (0.44, of_rooms), (0.66, of_outdoors), (0.99, of_outdoors)):
        both = CosmoramaEstimator(rooms, outdoors=sure_of(outdoors, chance), tokens=30)
        assert torch.equal(depth(both), wanted), chance
    between = depth(CosmoramaEstimator(rooms, outdoors=sure_of(outdoors, 0.55), tokens=30))
    assert not torch.allclose(between, of_rooms)
    assert not torch.allclose(between, of_outdoors)


def test_in_between_the_answers_are_mixed(photo: torch.Tensor) -> None:
    rooms, outdoors = random_head(0), random_head(1)
    both = CosmoramaEstimator(rooms, outdoors=sure_of(outdoors, 0.55), tokens=30)
    look = both._look(photo)
    one, half, other = (both._answer(look, share).log_depth for share in (0.0, 0.5, 1.0))
    assert torch.allclose(half, (one + other) / 2, atol=1e-5)
    assert sure_of(outdoors, 0.55).share(look.features) == pytest.approx(0.5, abs=1e-4)


def test_a_file_holds_parts_of_a_head_and_the_probe(tmp_path: Path) -> None:
    rooms, outdoors = random_head(0), random_head(1)
    parts = {name: value for name, value in outdoors.state_dict().items() if name.startswith("out.")}
    weight = torch.randn(1536)
    save_outdoor_head(tmp_path / "o.safetensors", parts, (weight, torch.tensor(0.5)), rooms)
    loaded = load_outdoor_head(tmp_path / "o.safetensors", rooms)
    assert torch.allclose(loaded.probe_weight, weight, atol=1e-2)
    for name, value in loaded.head.state_dict().items():
        wanted = (outdoors if name.startswith("out.") else rooms).state_dict()[name]
        assert torch.allclose(value, wanted, atol=1e-3), name


def test_other_files_are_refused(tmp_path: Path) -> None:
    rooms = random_head(0)
    path = tmp_path / "o.safetensors"
    with pytest.raises(InputError, match="holds no weights"):
        load_outdoor_head(path, rooms)
    probe = (torch.zeros(1536), torch.tensor(0.0))
    for parts in ({}, {"nose.weight": torch.zeros(3)}, {"out.1.weight": torch.zeros(3)}, rooms.state_dict()):
        save_outdoor_head(path, parts, probe, rooms)
        with pytest.raises(InputError, match="no parts of a depth head"):
            load_outdoor_head(path, rooms)
    with pytest.raises(InputError, match="no parts of a depth head"):
        load_outdoor_head(WEIGHTS, load_head())
    save_outdoor_head(path, {"out.3.bias": torch.zeros(3)}, probe, rooms)
    assert load_outdoor_head(path, rooms).share([torch.zeros(1, 2, 2, 384)] * 4) > 0
    with pytest.raises(InputError, match="of another depth head"):
        load_outdoor_head(path, random_head(1))


def test_the_probe_tells_two_kinds_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(20, generator=generator)
    rooms = list(torch.randn(50, 20, generator=generator) - direction)
    outdoors = list(torch.randn(50, 20, generator=generator) + direction)
    weight, bias = fit_probe(rooms, outdoors)
    assert (torch.stack(rooms) @ weight + bias < 0).all()
    assert (torch.stack(outdoors) @ weight + bias > 0).all()


def test_only_some_parts_are_trained() -> None:
    head = random_head(0)
    freeze_all_but(head, ["out", "coarse.0.first"])
    trained = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    assert trained == {
        name for name, _ in head.named_parameters() if name.startswith(("out.", "coarse.0.first."))
    }
    with pytest.raises(InputError, match="called nose"):
        freeze_all_but(head, ["nose"])
    with pytest.raises(InputError, match="nothing of steady"):
        freeze_all_but(head, ["steady"])


def small_world(folder: Path, indoor: bool) -> Path:
    """One scene of six frames, dark in rooms and bright in the open."""
    folder.mkdir()
    writer = ShardWriter(folder / "shard-00000.zip")
    rng = np.random.default_rng(int(indoor))
    depth, things = np.full((56, 70), 3.0, np.float32), np.ones((56, 70), np.int64)
    frames = []
    for _ in range(6):
        colors = rng.integers(0, 90, (56, 70, 3)) + (10 if indoor else 150)
        frames.append(
            frame_files(Rendered(colors.astype(np.uint8), depth, np.zeros((56, 70, 3), np.float32), things))
        )
    entry = {"intrinsics": [[60.0, 0, 35], [0, 60.0, 28], [0, 0, 1]]}
    writer.add_scene(0, {"indoor": indoor, "frames": [entry] * 6}, frames)
    writer.close()
    return folder


def test_the_command_joins_parts_and_probe(photo: torch.Tensor, tmp_path: Path) -> None:
    rooms, other = (small_world(tmp_path / name, name == "rooms") for name in ("rooms", "open"))
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        head = DepthHead(load_head().config)
        files.append(tmp_path / f"{seed}.safetensors")
        save_weights(files[-1], head, config={}, only=["out.3.weight"])
    out = tmp_path / "outdoors.safetensors"
    TrainOutdoors(rooms, other, tuple(files), out, tokens=20).run()
    both = load_outdoor_head(out, load_head())
    mean = torch.stack([load_weights(path)[1]["out.3.weight"] for path in files]).mean(0)
    assert torch.allclose(both.head.get_parameter("out.3.weight"), mean, atol=1e-3)
    pictures = 0.3 * photo[None, :84, :126] + torch.tensor([0.0, 0.6])[:, None, None, None]
    shares = [both.share(depth_world.fake_features(picture[None])) for picture in pictures]
    assert shares[0] < shares[1]
    with pytest.raises(InputError, match="same parts"):
        TrainOutdoors(rooms, other, (*files, WEIGHTS), out).run()


def test_commands_refuse_what_belongs_to_no_head(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no weights"):
        EvalDepth(tmp_path, outdoors=tmp_path / "none.safetensors").run()
    with pytest.raises(InputError, match="--initial"):
        TrainDepth(tmp_path, tmp_path / "run", only=("out",)).run()


def test_the_shipped_files_are_small_and_tell_a_table_from_the_open() -> None:
    from skimage.data import rocket

    count = 0
    for path in (WEIGHTS, OUTDOORS):
        with safe_open(path, framework="pt") as file:
            count += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    assert count < 5_000_000
    assert WEIGHTS.stat().st_size + OUTDOORS.stat().st_size < 15e6
    ours = estimator.load_cosmorama_estimator()
    assert ours.outdoors is not None
    table = Image.open(Path(assets.__file__).with_name("demo.jpg")).convert("RGB")
    for photo, share in ((table, 0), (Image.fromarray(rocket()), 1)):
        look = ours._look(torch.from_numpy(np.array(photo.resize((300, 200)))).float() / 255)
        assert ours.outdoors.share(look.features) == share
