"""Untrusted code in the sandbox reads, reaches and harms nothing outside of it."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers import FIXTURES, Netlet, linux_only, needs_sandbox

from netlet.errors import NetError, SandboxError
from netlet.experiments.sandbox import InSandbox, SameProcess
from netlet.nets.shipped_weights import WEIGHTS_FOLDER, list_shipped_weights
from netlet.sandbox import Limits, bubblewrap, containers, programs, run_task, visible

SHAPE = (1, 28, 28)


@pytest.fixture
def attacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of attacks, which knows what is to be found outside."""
    secret = tmp_path / "grades" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("secret")
    monkeypatch.setenv("NETLET_TEST_SECRET", "1")
    text = (FIXTURES / "attacks.py").read_text()
    values = {"secret": secret, "home": Path.home(), "parent": os.getpid(), "mark": 31_000_007}
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    file = tmp_path / "attacks.py"
    file.write_text(text)
    return file


@needs_sandbox
def test_nothing_outside_can_be_read_reached_or_written(attacks: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        attacks.write_text(attacks.read_text().replace("{port}", port))
        found = InSandbox().analyze(f"{attacks}:TriesEverything", SHAPE, None)
    assert found.cost.parameters == 7_850


@needs_sandbox
@pytest.mark.parametrize(
    ("name", "limits", "problem"),
    [
        (
            "forks",
            Limits(wall_s=8),
            "takes more than 8 s|starts more than 64 processes|more memory",
        ),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("floods", Limits(), "returned too much from the sandbox; read it"),
                ("ends", Limits(), "its code ended the sandbox (exit code 0); read it"),
                ("crashes", Limits(), "its code ended the sandbox (signal 11); read it"),
                ("loops", Limits(wall_s=8), "takes more than 8 s in the sandbox; look for a loop"),
                ("loops", Limits(wall_s=5), "takes more than 5 s|too much processor time"),
                ("starts_threads", Limits(wall_s=8), "takes more than 8 s|more than 64 processes"),
                ("takes_memory", Limits(memory_bytes=1 << 30), "takes more memory"),
                ("takes_memory_in_many", Limits(memory_bytes=1 << 30), "takes more memory"),
                ("babbles", Limits(), "its code spoiled the answer of the sandbox"),
                ("lies", Limits(), "its code spoiled the answer of the sandbox"),
            )
        ),
    ],
)
def test_what_does_not_behave_is_stopped(
    attacks: Path, name: str, limits: Limits, problem: str
) -> None:
    with pytest.raises(NetError) as caught:
        InSandbox(limits).analyze(f"{attacks}:{name}", SHAPE, None)
    assert any(part in str(caught.value) for part in problem.split("|")), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@needs_sandbox
def test_no_process_is_left_behind(attacks: Path) -> None:
    assert InSandbox().analyze(f"{attacks}:leaves", SHAPE, None).cost.parameters == 7_850
    commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if exists(file)]
    assert not [command for command in commands if b"31000007" in command]


def exists(file: Path) -> bool:
    try:
        file.read_bytes()
    except OSError:
        return False
    return True


@pytest.mark.slow
@needs_sandbox
def test_the_sandbox_finds_what_one_process_finds(netlet: Netlet, tmp_path: Path) -> None:
    (tmp_path / "course" / "blocks").mkdir(parents=True)
    (tmp_path / "course" / "blocks" / "__init__.py").write_text("")
    (tmp_path / "course" / "blocks" / "sizes.py").write_text("WIDTH = 10\n")
    file = tmp_path / "course" / "net.py"
    file.write_text(
        "from torch import nn\nfrom blocks.sizes import WIDTH\n"
        "class Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, WIDTH))\n"
    )
    found = InSandbox().analyze(f"{file}:Net", SHAPE, None)
    expected = SameProcess().analyze(f"{file}:Net", SHAPE, None)
    assert json.dumps(asdict(found)) == json.dumps(asdict(expected))  # tuples are lists there
    command = ("check", str(file), "--params-below", "8000")
    assert netlet(*command, "--sandbox") == netlet(*command)


def test_without_a_sandbox_the_message_says_how_to_install_one(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho the daemon does not run >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    for path, found in (
        (tmp_path / "nothing", "no bubblewrap, Podman or Docker is on the PATH"),
        (tmp_path, "Docker does not work (the daemon does not run)"),
    ):
        monkeypatch.setenv("PATH", str(path))
        programs.find_program.cache_clear()
        code, out, err = netlet("check", "swift", "--sandbox")
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert found in err
        assert "; install bubblewrap, for example with 'sudo apt-get install bubblewrap'" in err
        with pytest.raises(SandboxError):
            programs.find_program()
    programs.find_program.cache_clear()


@linux_only
def test_a_container_has_no_network_no_rights_and_no_folder_of_the_user(tmp_path: Path) -> None:
    inputs = {"/task/code": tmp_path}
    limits = Limits(folder_bytes=1 << 20, memory_bytes=1 << 30, processes=9)
    words = containers.build_command("docker", ["python"], inputs, {"HOME": "/tmp"}, limits)
    text = " ".join(words)
    for option in (
        "--network none --read-only --cap-drop ALL --security-opt no-new-privileges",
        f"--memory {1 << 30} --memory-swap {1 << 30} --pids-limit 9",
        f"--tmpfs /tmp:rw,mode=1777,size={1 << 20}",
        f"source={tmp_path},target=/task/code,readonly",
    ):
        assert option in text
    assert words[-2:] == [containers.IMAGE, "python"]
    mounts = [word for word in words if word.startswith("type=bind")]
    assert all(mount.endswith(",readonly") for mount in mounts)
    sources = [Path(mount.split("source=")[1].split(",")[0]) for mount in mounts]
    assert not any(Path.home().is_relative_to(source) for source in sources)


@linux_only
def test_the_weights_of_trained_nets_are_hidden_wherever_the_package_is_seen(
    tmp_path: Path,
) -> None:
    package = Path(visible.package_folder())
    link = tmp_path / "link"
    link.symlink_to(package)
    view = visible.View((str(package / "netlet"), str(link), "/usr/nowhere"), {})
    expected = [WEIGHTS_FOLDER.resolve(), link / "netlet" / "nets" / "trained"]
    assert visible.find_trained_weights(view) == sorted(map(str, expected))
    words = containers.build_command("docker", ["python"], {}, {}, Limits())
    hidden = [word for word in words if word.startswith("type=bind,source=/dev/null,target=")]
    for name in list_shipped_weights():
        assert any(f"/trained/{name}.safetensors," in word for word in hidden)
    text = " ".join(bubblewrap.build_command("/nowhere/bwrap", ["python"], {}, {}, Limits()))
    assert f"--perms 0555 --tmpfs {WEIGHTS_FOLDER.resolve()} --remount-ro " in text


@linux_only
def test_a_container_is_killed_and_removed_at_the_end(tmp_path: Path) -> None:
    log, client = tmp_path / "log", tmp_path / "docker"
    client.write_text(f'#!/bin/sh\n[ "$1" = run ] && exec sleep 60\necho "$@" >> "{log}"\n')
    client.chmod(0o755)
    program = programs.SandboxProgram("Docker", str(client), containers.build_command, False)
    with pytest.raises(SandboxError, match="takes more than"):
        run_task("netlet.nowhere:task", {}, limits=Limits(wall_s=0.5), program=program)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[:-1] for line in lines] == [["kill"], ["rm", "--force"]]
    assert lines[0][-1] == lines[1][-1]
    assert lines[0][-1].startswith(f"netlet-{os.getpid()}-")
