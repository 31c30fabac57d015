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


def test_wrong_options_exit_with_2(monkeypatch, capsys):
    assert run(monkeypatch, "make", "--preset", "huge") == 2
    capsys.readouterr()


def test_faults_of_ours_are_not_hidden(monkeypatch):
    monkeypatch.setattr(tyro, "cli", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["cosmorama", "doctor"])
    with pytest.raises(ZeroDivisionError):
        cli.main()
