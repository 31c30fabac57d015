"""What is read out of sentences. No catalogue: the tables alone."""

import pytest

from cosmorama.pipeline.world import sentence
from cosmorama.pipeline.world.rooms import KINDS
from cosmorama.pipeline.world.sentence import AROUND, OUTDOORS, PLACES, THINGS, read_sentence
from cosmorama.pipeline.world.vistas import KINDS as VISTAS


@pytest.fixture(autouse=True)
def no_catalogue(monkeypatch):
    monkeypatch.setattr(sentence, "candidates", lambda role: ())
    sentence._vocabulary.cache_clear()
    yield
    sentence._vocabulary.cache_clear()


def wishes(text):
    return [(w.color, w.material, w.role, w.side) for w in read_sentence(text).wishes]


def test_colours_and_materials_belong_to_the_next_thing():
    assert wishes("A red sofa by a wooden table, and a chair.") == [
        ("red", None, "sofa", None), (None, "wood", "dining_table", None), (None, None, "chair", None),
    ]  # fmt: skip


def test_numbers_plurals_and_sides():
    assert wishes("two black leather armchairs on the left and shelves") == [
        ("black", "leather_grey", "armchair", "left"),
        ("black", "leather_grey", "armchair", "left"),
        (None, None, "bookcase", None),
    ]


def test_the_longest_phrase_wins():
    assert [w.role for w in read_sentence("an office chair, a coffee table, a bar stool").wishes] == [
        "office_chair", "coffee_table", "bar_stool",
    ]  # fmt: skip


def test_the_place_is_named_or_follows_from_the_things():
    assert read_sentence("a bright kitchen with a bed").kind == "kitchen"
    assert read_sentence("a bed and a lamp").kind == "bedroom"
    assert read_sentence("three cars").kind == "street"
    assert read_sentence("").kind == "living room"
    assert not read_sentence("a meadow").indoor


def test_what_lies_around_a_place_in_the_open():
    brief = read_sentence("a meadow by a lake with two horses, mountains and a lighthouse")
    assert (brief.kind, brief.around) == ("field", ("lake", "mountains", "towers"))
    assert [w.role for w in brief.wishes] == ["large_animal", "large_animal"]
    assert read_sentence("snowy mountains").kind == "field"
    assert read_sentence("a street").around == ()
    assert read_sentence("two people by a lake").kind == "field"
    odd = read_sentence("a horse and a blue lake on the left")
    assert [w.side for w in odd.wishes] == [None]
    assert odd.unknown == ("blue", "on the left")
    assert read_sentence("a garden with a water fountain").around == ()
    room = read_sentence("a kitchen with mountains")
    assert (room.around, room.unknown) == ((), ("mountains",))


def test_all_that_can_lie_around_can_be_asked_for():
    assert set(AROUND) == set(VISTAS)


def test_walls_and_floors_are_no_things():
    brief = read_sentence("a room with blue walls and a wooden floor")
    assert brief.shell == (("wall", "blue", None), ("floor", None, "wood"))
    assert brief.wishes == ()


def test_what_is_not_understood_is_told():
    brief = read_sentence("a zeppelin above a green sofa, ein Stuhl")
    assert brief.unknown == ("zeppelin", "above", "ein", "stuhl")
    assert len(brief.wishes) == 1


def test_a_sentence_cannot_ask_for_too_much():
    assert len(read_sentence("six chairs " * 50).wishes) == sentence.MOST


def test_the_tables_agree_with_the_world():
    assert set(PLACES) == {*KINDS, *OUTDOORS}
    assert set(THINGS) <= set(sentence.ROLES)
    assert set(sentence.MATERIALS.values()) <= set(sentence_patterns())


def sentence_patterns():
    from cosmorama.pipeline.world.finishes import METRES_PER_TILE

    return METRES_PER_TILE
