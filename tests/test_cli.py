import subprocess
import sys

import pytest

import mircourse
from mircourse import cli, doctor, registry


def test_version(capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main(["--version"])
    assert leave.value.code == 0
    assert capsys.readouterr().out == f"mircourse {mircourse.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["data"], ["experiment"]])
def test_a_wrong_argument_leaves_with_status_2_and_says_what_there_is(arguments, capsys):
    with pytest.raises(SystemExit) as leave:
        cli.main(arguments)
    assert leave.value.code == 2
    assert "usage: mircourse" in capsys.readouterr().err


def test_doctor_succeeds_where_all_is_well(monkeypatch, capsys):
    findings = [doctor.Finding("python", "ok", "3.11"), doctor.Finding("torchaudio", "mended", "x")]
    monkeypatch.setattr(doctor, "examine", lambda *, fix: findings)
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all is well"


def test_doctor_fails_where_something_stays_broken(monkeypatch, capsys):
    asked = []

    def examine(*, fix):
        asked.append(fix)
        return [doctor.Finding("data", "broken", "scores/x.npz is missing")]

    monkeypatch.setattr(doctor, "examine", examine)
    assert cli.main(["doctor", "--fix"]) == 1
    assert asked == [True]
    out = capsys.readouterr().out
    assert "scores/x.npz is missing" in out and out.endswith("broken: data\n")


def test_data_list_names_every_file_once(capsys):
    assert cli.main(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == sorted(registry.entries())
    assert lines[-1].startswith(f"{len(registry.entries())} files, ")


def test_data_verify_follows_the_registry(capsys, monkeypatch):
    assert cli.main(["data", "verify"]) == 0
    assert capsys.readouterr().out.startswith("ok")
    monkeypatch.setattr(registry, "verify", lambda: {"a": "a has 3 bytes"})
    assert cli.main(["data", "verify"]) == 1
    assert "a has 3 bytes" in capsys.readouterr().out


def test_missing_data_is_an_error_message_and_not_a_traceback(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MIRCOURSE_DATA", str(tmp_path))
    assert cli.main(["data", "list"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("mircourse: no registry.json found") and str(tmp_path) in error


def test_experiment_is_mounted(capsys):
    assert cli.main(["experiment", "list"]) == 0
    assert cli.main(["experiment", "show", "no-such-experiment"]) == 1
    assert "no-such-experiment" in capsys.readouterr().err


def test_the_installed_command_runs_and_ends_quietly_when_its_reader_leaves():
    command = [sys.executable, "-m", "mircourse.cli", "data", "list"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close()
    error = run.stderr.read()
    run.stderr.close()
    assert run.wait() in (0, 1) and b"Traceback" not in error
