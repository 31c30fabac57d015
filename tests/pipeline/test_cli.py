import io
import sys
from importlib import import_module

import pytest
import tyro

from cosmorama.pipeline import cli


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["cosmorama", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_parses_its_help(monkeypatch, capsys, name):
    assert run(monkeypatch, *name.split(), "--help") == 0
    assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_a_dataclass_with_run(name):
    module, _, class_name = cli.COMMANDS[name][0].partition(":")
    command = getattr(import_module(f"cosmorama.pipeline.commands.{module}"), class_name)
    assert callable(command.run)
    assert command.__dataclass_params__.frozen


def test_a_photo_alone_means_make(monkeypatch, capsys):
    assert run(monkeypatch, "nowhere.jpg", "--no-view") == 2
    assert "nowhere.jpg" in capsys.readouterr().err


def test_unknown_member_of_a_group(monkeypatch, capsys):
    assert run(monkeypatch, "bench", "nonsense") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (("frobnicate",), "there is no command 'frobnicate'; see: cosmorama --help"),
        (("mkae", "grey.jpg"), "there is no command 'mkae'; did you mean make? See: cosmorama --help"),
        (
            ("bench", "mkae"),
            "there is no command 'bench mkae'; did you mean bench make? See: cosmorama bench --help",
        ),
    ],
)
def test_a_mistyped_command_is_no_photo(monkeypatch, capsys, given, answer):
    assert run(monkeypatch, *given) == 2
    assert capsys.readouterr().err == f"cosmorama: {answer}\n"


def test_a_photo_may_have_a_name_like_a_word(monkeypatch, capsys, tmp_path):
    (tmp_path / "holiday").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "holiday", "--no-view") == 2
    assert "no command" not in capsys.readouterr().err


def test_the_overview_has_what_users_need_first(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    users, developers = capsys.readouterr().out.split("for developers:\n")
    assert all(f"cosmorama {name} " in users for name in cli.COMMANDS if " " not in name)
    assert all(f"cosmorama {name} " in developers for name in cli.COMMANDS if " " in name)


@pytest.mark.parametrize("group", sorted(cli.GROUPS))
def test_the_overview_of_a_group_is_of_that_group(monkeypatch, capsys, group):
    assert run(monkeypatch, group, "--help") == 0
    usage, *lines = capsys.readouterr().out.splitlines()
    assert usage.startswith(f"usage: cosmorama {group} COMMAND")
    assert all(line.startswith(f"  cosmorama {group} ") for line in lines)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (("make", "--preset", "huge"), ("'huge'", "--preset", "'draft', 'standard', 'fine'")),
        (("make", "--seed", "abc"), ("--seed", "'abc'")),
        (("make", "--sede", "3"), ("--sede", "perhaps you meant: --seed INT (see")),
        (("render",), ("--cameras PATH, --out PATH (see",)),
        (("make", "--generated-weights", "1"), ("--generated-weights", "2 values")),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_wrong_options_are_told_in_one_line(monkeypatch, capsys, given, parts, encoding):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert run(monkeypatch, *given) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not set("│╭─╰\x1b") & set(line)
    assert "---" not in line
    assert line.startswith("cosmorama: ")
    assert line.endswith(f" (see: cosmorama {given[0]} --help)\n")
    assert all(part in line for part in parts)


@pytest.mark.parametrize("said", ["", "usage: cosmorama make\nerror: what is --foo?\n"])
def test_wrong_options_are_told_without_a_box_too(monkeypatch, capsys, said):
    def refuse(*_, **__):
        sys.stderr.write(said)
        sys.exit(2)

    monkeypatch.setattr(tyro, "cli", refuse)
    assert run(monkeypatch, "make", "--foo") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert ("what is --foo?" if said else "wrong options") in line


def test_faults_of_ours_are_not_hidden(monkeypatch):
    monkeypatch.setattr(tyro, "cli", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["cosmorama", "doctor"])
    with pytest.raises(ZeroDivisionError):
        cli.main()
