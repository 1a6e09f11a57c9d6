"""Untrusted code in the sandbox reads, reaches and harms nothing outside of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from helpers import FIXTURES, Netlet, linux_only, needs_sandbox

from netlet.errors import NetError, SandboxError
from netlet.experiments.sandbox import InSandbox, SameProcess, analysis_to_json
from netlet.nets.shipped_weights import WEIGHTS_FOLDER, list_shipped_weights
from netlet.sandbox import (
    Limits,
    SandboxTask,
    bubblewrap,
    containers,
    count_fitting,
    memory,
    programs,
    run_task,
    visible,
)
from netlet.sandbox.inside import find_place

SHAPE = (1, 28, 28)


@pytest.fixture
def attacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the file of attacks, which knows what is to be found outside."""
    secret = tmp_path / "grades" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text("secret")
    monkeypatch.setenv("NETLET_TEST_SECRET", "1")
    package = Path(visible.package_folder()) / "netlet"
    folders = ("/", "/usr", "/usr/bin", "/dev", "/etc", sys.prefix, package, secret.parent)
    values = {"secret": secret, "home": Path.home(), "other_home": secret.parent}
    values |= {"parent": os.getpid(), "mark": 31_000_007, "folders": '", "'.join(map(str, folders))}
    file = tmp_path / "attacks.py"
    file.write_text((FIXTURES / "attacks.py").read_text())
    with contextlib.ExitStack() as servers:
        server = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
        service = servers.enter_context(socket.socket(socket.AF_UNIX))
        service.bind(f"\0netlet-{os.getpid()}".encode())
        service.listen()
        fill_in(file, values | {"port": server.getsockname()[1]})
        yield file


def fill_in(file: Path, values: Mapping[str, object]) -> None:
    text = file.read_text()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    file.write_text(text)


@needs_sandbox
def test_nothing_outside_can_be_read_reached_or_written(attacks: Path) -> None:
    found = InSandbox().analyze(f"{attacks}:TriesEverything", SHAPE, None)
    assert found.cost.parameters == 7_850


@linux_only
def test_each_attack_gets_through_outside(attacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("attacks_outside", attacks)
    assert spec is not None
    assert spec.loader is not None
    outside = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(outside)
    # Writing works the same in each folder: the test leaves those of the system alone.
    monkeypatch.setattr(outside, "FOLDERS", outside.FOLDERS[-1:])
    tried = [*outside.READ, *(outside.OF_ROOT if os.geteuid() == 0 else ())]
    stopped = {attack.__name__ for attack in tried if not attack()}
    if Path("/proc/self/status").read_text().count("NoNewPrivs:\t1"):
        stopped -= {"let_other_programs_raise_its_rights"}  # of a container around these tests
    if not namespaces_are_allowed():
        stopped -= {"rule_a_namespace", "mount_something"}
    assert not stopped


def namespaces_are_allowed() -> bool:
    """Return whether this system lets its users create namespaces; some containers do not."""
    command = ["unshare", "--user", "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@linux_only
def test_no_process_inside_can_create_user_namespaces_whoever_made_the_sandbox() -> None:
    """The filter holds for all later children, and lets threads and programs start."""
    if not namespaces_are_allowed():
        pytest.skip("this system lets nobody create user namespaces")
    code = (
        "import subprocess, threading\n"
        "from netlet.sandbox.namespaces import forbid_user_namespaces\n"
        "assert forbid_user_namespaces()\n"
        "thread = threading.Thread(target=print)\nthread.start()\nthread.join()\n"
        "assert subprocess.run(['true']).returncode == 0\n"
        "print(subprocess.run(['unshare', '--user', 'true'], capture_output=True).returncode)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1"], done.stderr


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
                ("floods", Limits(), "returned too much from the sandbox; inspect the code"),
                ("ends", Limits(), "the code ended the sandbox (exit code 0); inspect the code"),
                ("crashes", Limits(), "the code ended the sandbox (signal 11); inspect the code"),
                (
                    "loops",
                    Limits(wall_s=8),
                    "takes more than 8 s in the sandbox; look for an infinite loop",
                ),
                ("loops", Limits(wall_s=5), "takes more than 5 s|too much processor time"),
                ("starts_threads", Limits(wall_s=8), "takes more than 8 s|more than 64 processes"),
                ("takes_memory", Limits(memory_bytes=1 << 30), "needs more memory"),
                ("takes_memory_in_many", Limits(memory_bytes=1 << 30), "needs more memory"),
                ("babbles", Limits(), "the code interfered with the result of the sandbox"),
                ("lies", Limits(), "the code interfered with the result of the sandbox"),
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
    one, other = analysis_to_json(found), analysis_to_json(expected)
    assert json.dumps(one) == json.dumps(other)  # tuples are lists there
    command = ("check", str(file), "--params-below", "8000")
    assert netlet(*command, "--sandbox") == netlet(*command)


@linux_only
def test_without_a_sandbox_the_message_says_how_to_get_one(
    netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = "install bubblewrap, for example with 'sudo apt-get install bubblewrap'"
    for path, failing, found, remedy in (
        ("nothing", "", "no bubblewrap, Podman or Docker is on the PATH", install),
        ("docker", "no daemon", "Docker does not work (no daemon)", install),
        ("docker", "", "Docker does not work (exit code 1; is it running?)", install),
        (
            "bwrap",
            "bwrap: setting up uid map: Permission denied",
            "bubblewrap does not work (bwrap: setting up uid map: Permission denied)",
            "allow unprivileged user namespaces, which bubblewrap usually needs, or set up Docker",
        ),
    ):
        folder = tmp_path / path
        folder.mkdir(exist_ok=True)
        (folder / path).write_text(f"#!/bin/sh\n{failing and f'echo {failing} >&2; '}exit 1\n")
        (folder / path).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        programs.find_program.cache_clear()
        code, out, err = netlet("check", "swift", "--sandbox")
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert f"there is no sandbox for untrusted code: {found}; {remedy}" in err
        with pytest.raises(SandboxError):
            programs.find_program()
    programs.find_program.cache_clear()


def test_the_sandbox_needs_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    programs.find_program.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("netlet.sandbox.programs.sys.platform", "darwin")
        with pytest.raises(SandboxError, match="code needs Linux; use a Linux machine or virtual"):
            programs.find_program()


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
    task = SandboxTask(function="netlet.nowhere:task", request={}, limits=Limits(wall_s=0.5))
    with pytest.raises(SandboxError, match="takes more than"):
        run_task(task, program)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[:-1] for line in lines] == [["kill"], ["rm", "--force"]]
    assert lines[0][-1] == lines[1][-1]
    assert lines[0][-1].startswith(f"netlet-{os.getpid()}-")


@linux_only
def test_a_path_may_have_what_separates_the_options_of_a_mount(tmp_path: Path) -> None:
    def mounts_of(folder: str) -> list[str]:
        inputs = {f"/task/{folder}": tmp_path / folder}
        words = containers.build_command("docker", ["python"], inputs, {}, Limits())
        return words[words.index(containers.IMAGE) - 2 : words.index(containers.IMAGE)]

    assert mounts_of("a:b") == [
        "--mount",
        f"type=bind,source={tmp_path}/a:b,target=/task/a:b,readonly",
    ]
    for folder in ("a,b", 'a"b'):
        assert mounts_of(folder) == ["--volume", f"{tmp_path}/{folder}:/task/{folder}:ro"]
    with pytest.raises(SandboxError, match="has a colon beside a comma"):
        mounts_of("a,b:c")


@linux_only
def test_bubblewrap_disables_namespaces_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    for euid, help_text, mode, expected in (
        (1000, "--size BYTES  --disable-userns  x", 0o755, True),
        (1000, "--size BYTES  --disable-userns  x", 0o4755, False),
        (1000, "--size BYTES", 0o755, False),
        (0, "--size BYTES  --disable-userns  x", 0o755, False),  # another user is better
    ):
        monkeypatch.setattr(os, "geteuid", lambda euid=euid: euid)
        program.write_text(f"#!/bin/sh\necho '{help_text}'\n")
        program.chmod(mode)
        bubblewrap._has_option.cache_clear()
        words = bubblewrap.build_command(str(program), ["python"], {}, {}, Limits())
        assert ("--disable-userns" in words) == expected
        assert ("--unshare-user" in words) == (euid != 0)
    bubblewrap._has_option.cache_clear()


def program_of(code: str) -> programs.SandboxProgram:
    """Return a program that runs some lines in place of a task, with an exchange."""
    start = (
        "import os, select, sys\nfrom netlet.sandbox.messages import Exchange\n"
        "exchange = Exchange(0, 1)\n"
    )

    def build(*_: object) -> list[str]:
        return [sys.executable, "-S", "-c", start + code]

    return programs.SandboxProgram("none", sys.executable, build, watched=True)


@linux_only
def test_each_content_comes_after_the_part_of_the_answer_before_it() -> None:
    code = (
        "seen, early = [], 0\n"
        "for number in range(3):\n"
        "    early += len(select.select([0], [], [], 0.1)[0])\n"
        "    seen.append(exchange(b'part' + bytes([number])))\n"
        "exchange.send({'early': early}, b''.join(seen))\n"
    )
    later = (b"a" * 300_000, b"", b"c")
    task = SandboxTask(function="", request={}, later=later)
    answer = run_task(task, program_of(code))
    assert answer.values == {"early": 0}
    assert answer.payload == b"".join(later)
    assert answer.parts == (b"part\0", b"part\1", b"part\2")
    assert answer.seconds > 0


@linux_only
@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("exchange.send({'part': True}, b'')\nimport time; time.sleep(60)", "takes more than 1 s"),
        ("for _ in range(3): exchange(b'')", "interfered with the result"),
        ("exchange(b'')", "ended the sandbox"),
        ("os._exit(3)", r"^the sandbox ended without an answer \(exit code 3\); try again, or"),
        ("exchange.send({'part': True}, bytes(70 << 20))", "returned too much"),
        ("for _ in range(9): exchange(bytes(9 << 20))", "returned too much"),
    ],
)
def test_code_that_does_not_keep_to_the_exchange_is_stopped(code: str, problem: str) -> None:
    later = (bytes(1 << 20),) * (9 if "9 <<" in code else 2)
    limits = Limits(wall_s=1 if "sleep" in code else 20)
    task = SandboxTask(function="", request={}, later=later, limits=limits)
    with pytest.raises(SandboxError, match=problem):
        run_task(task, program_of(code))


def test_a_task_travels_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "deep" / "m.py").write_text("x = 1")
    (tmp_path / "train.npz").write_bytes(b"images")
    inputs = {"/task/code": tmp_path / "code", "/task/train.npz": tmp_path / "train.npz"}
    packed = SandboxTask(function="f", request={}, inputs=inputs).pack()
    assert not packed.inputs
    there = tmp_path / "there"
    there.mkdir()
    found = pickle.loads(pickle.dumps(packed)).unpack(there)
    assert found.inputs == {"/task": there / "task"}
    assert (there / "task" / "code" / "deep" / "m.py").read_text() == "x = 1"
    assert (there / "task" / "train.npz").read_bytes() == b"images"
    modes = {oct(path.stat().st_mode & 0o777) for path in there.rglob("*")}
    assert modes == {"0o755", "0o644"}
    places = {"places": {"/task": str(there / "task")}}
    assert find_place(places, "/task/code") == str(there / "task" / "code")
    assert find_place({}, "/task/code") == "/task/code"


def test_the_reason_of_an_error_travels() -> None:
    error = pickle.loads(pickle.dumps(SandboxError("was stopped", "machine")))
    assert (str(error), error.reason) == ("was stopped", "machine")


def test_memory_is_that_of_the_machine_or_of_a_smaller_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gib = 1 << 20  # in KiB
    (tmp_path / "meminfo").write_text(f"MemTotal: {24 * gib} kB\nMemAvailable: {20 * gib} kB\n")
    groups = tmp_path / "groups"
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(memory, "_GROUPS", groups)
    assert count_fitting(Limits()) == 4  # 4.25 GiB each, of 19.5
    for own, place, names in (
        ("0::/a/b\n", "a", ("memory.max", "memory.current", "inactive_file")),
        ("0::/a/b\n", ".", ("memory.max", "memory.current", "inactive_file")),  # in a container
        (
            "3:cpu,memory:/a\n0::/\n",
            "memory/a",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ):
        shutil.rmtree(groups, ignore_errors=True)
        (tmp_path / "own").write_text(own)
        (groups / place).mkdir(parents=True)
        (groups / "a" / "b").mkdir(parents=True, exist_ok=True)
        (groups / "a" / "b" / "memory.max").write_text("max\n")
        limit, used, cached = names
        (groups / place / limit).write_text(f"{12 << 30}\n")
        (groups / place / used).write_text(f"{3 << 30}\n")
        (groups / place / "memory.stat").write_text(f"anon 7\n{cached} {1 << 30}\n")
        assert memory.find_memory() == memory.Memory(12 << 30, 10 << 30)
        assert count_fitting(Limits()) == 2
        assert not memory.memory_is_short()
        (groups / place / used).write_text(f"{(12 << 30) - 100}\n")
        (groups / place / "memory.stat").write_text("anon 7\n")
        assert memory.memory_is_short()
        assert count_fitting(Limits()) == 1
