from cosmorama.viewer.history import History
from cosmorama.viewer.modes import FRAMES, SPLATS, ModePicker, choose_mode, describe, is_software


def test_undo_and_redo_walk_the_line():
    h = History(0, depth=3)
    for value in range(1, 6):
        h.push(value)
    assert [h.undo(), h.undo()] == [4, 3]
    assert h.redo() == 4
    h.push(9)
    assert not h.can_redo
    assert [h.undo(), h.undo(), h.undo(), h.undo()] == [4, 3, 2, 2]
    assert not h.can_undo


def test_a_gpu_gets_splats_and_a_weak_browser_gets_frames():
    assert choose_mode(200_000, software_gl=False) == SPLATS
    assert choose_mode(1_000_000, software_gl=False) == SPLATS
    assert choose_mode(10_000, software_gl=True) == SPLATS
    assert choose_mode(200_000, software_gl=True) == FRAMES


def test_measurements_outweigh_the_guess():
    assert choose_mode(200_000, software_gl=False, browser_ms=900, render_ms=100) == FRAMES
    assert choose_mode(200_000, software_gl=True, browser_ms=20, render_ms=5) == SPLATS
    assert choose_mode(200_000, software_gl=False, browser_ms=120, render_ms=100) == SPLATS


def test_the_picker_forgets_measurements_of_other_sizes_and_obeys_the_visitor():
    picker = ModePicker(software_gl=False)
    picker.drew(900, 100_000)
    picker.rendered(4000)  # the first picture compiles
    picker.rendered(50)
    assert picker.mode(100_000) == FRAMES
    assert picker.mode(10_000) == SPLATS
    picker.wanted = SPLATS
    assert picker.mode(100_000) == SPLATS


def test_names_of_renderers():
    assert is_software("ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device))")
    assert is_software("llvmpipe (LLVM 15)")
    assert not is_software("ANGLE (NVIDIA, GeForce RTX 3060)")


def test_people_are_told_which_is_on():
    assert "rendered here" in describe(FRAMES, 10, 3)
    assert "yet" in describe(SPLATS, 0, 0)
    assert "recoloured" in describe(SPLATS, 10, 1)
    assert "recoloured" not in describe(SPLATS, 10, 0)
