# SPDX-License-Identifier: Apache-2.0
"""The command line, and what becomes of a configuration: --check, --dump, --set, exit codes."""

import ctypes
import json
import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

import rig
from rig import run_upperctl, run_upperd
from secure import tls
from settings import configuration, free_port, tcp, udp
from wire import tcp_ask

USAGE, CONFIGURATION, SYSTEM, PERMISSION = 64, 78, 71, 77
SHIPPED = sorted((Path(__file__).resolve().parents[2] / "conf").glob("*.conf"))
PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE = 24, 10


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="upperd.conf"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def check(path, *args):
    return run_upperd("-c", path, "--check", *args)


def dump(path, *args):
    done = run_upperd("-c", path, "--dump", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def faults_of(done):
    assert done.returncode == CONFIGURATION, done
    return done.stderr


# The command line


def test_version_names_unicode():
    done = run_upperd("--version")
    assert done.returncode == 0
    assert re.search(r"upperd \d+\.\d+\.\d+", done.stdout)
    assert re.search(r"Unicode \d+\.\d+", done.stdout)


def test_version_as_json_is_what_was_built():
    said = json.loads(run_upperd("--version", "--json").stdout)
    plain = run_upperd("--version").stdout
    assert f"upperd {said['version']} (Unicode {said['unicode']})" in plain
    for feature, there in said["features"].items():
        assert f"{'+' if there else '-'}{feature}" in plain
    libraries = {one["name"]: one for one in said["libraries"]}
    assert re.match(r"[\d.]+$", libraries["libconfig"]["built_with"])
    if said["features"]["tls"]:
        assert libraries["libssl"]["runs_with"].split(".")[0] == "3"
        here = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
        assert here.startswith(f"OpenSSL {libraries['libssl']['runs_with']} ")


def test_bill_of_materials_has_the_same_libraries():
    bill = json.loads((Path(rig.UPPERD).parents[1] / "upperd.cdx.json").read_text())
    said = json.loads(run_upperd("--version", "--json").stdout)
    names = {one["name"]: one["version"] for one in bill["components"]}
    assert names == {one["name"]: one["built_with"] for one in said["libraries"]}
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", said["version"])
    assert "timestamp" not in bill["metadata"] and "serialNumber" not in bill


def test_help_names_every_option():
    done = run_upperd("--help")
    assert done.returncode == 0
    for option in ("--set", "--check", "--dump", "--version", "--help"):
        assert option in done.stdout


@pytest.mark.parametrize("args", [["--frobnicate"], ["-c"], ["stray"], ["--check=nicely"],
                                  ["--json"], ["--dump", "--json"]])
def test_misuse_is_said_so(args):
    done = run_upperd(*args)
    assert done.returncode == USAGE
    assert done.stdout == "" and done.stderr


def test_role_cannot_be_had_by_hand():
    """A child without its channel has nobody to talk to."""
    done = run_upperd("--role=worker")
    assert done.returncode == USAGE
    assert "--role is for upperd itself" in done.stderr


# --check


def test_check_of_a_sound_configuration(write):
    done = check(write(configuration(udp(), tcp())))
    assert done.returncode == 0, done.stderr


def test_check_binds_nothing(daemon):
    d = daemon(tcp())
    assert check(d.config).returncode == 0


@pytest.mark.parametrize("short, long", [("-t", "--check"), ("-T", "--dump")])
def test_short_option(write, short, long):
    path = write(configuration(udp()))
    first, second = run_upperd("-c", path, short), run_upperd("-c", path, long)
    assert (first.returncode, first.stdout) == (second.returncode, second.stdout)
    assert first.returncode == 0


def test_fault_shows_place_key_and_remedy(write):
    path = write('listeners = ( {\n  name = "one"; transport = "tcp";\n      prot = 12000; } );\n')
    faults = faults_of(check(path))
    assert f'{path}:3:7: error: listeners.one.prot: unknown key; did you mean "port"?' in faults
    lines = faults.splitlines()
    shown = next(n for n, line in enumerate(lines) if "prot = 12000" in line)
    assert lines[shown].strip() == "3 |       prot = 12000; } );"
    assert lines[shown + 1].index("^~~~") == lines[shown].index("prot")


def test_every_fault_is_shown_at_once(write):
    faults = faults_of(check(write(configuration(
        tcp(name="a", port=0), udp(name="b", framing="lines"), wokers=3, drain=5))))
    for word in ("wokers", "workers", "port", "lines", "drain"):
        assert word in faults


@pytest.mark.parametrize("key", ["user", "group"])
def test_who_does_not_exist_is_named(write, start, key, as_root):
    text = configuration(tcp(), **{key: "nobody-at-all"})
    path = write(text)
    assert re.search(rf'^{path}:\d+:1: error: {key}: there is no {key} "nobody-at-all"',
                     faults_of(check(path)), re.M)
    assert start(text=text).wait() == CONFIGURATION


@pytest.mark.parametrize("key, what", [("owner", "user"), ("group", "group")])
def test_owner_who_does_not_exist_is_named(write, start, tmp_path, key, what):
    text = configuration(tcp(path=str(tmp_path / "socket"), **{key: "nobody-at-all"}))
    assert f'listeners.tcp.{key}: there is no {what} "nobody-at-all"' in faults_of(check(write(text)))
    d = start(text=text)
    assert d.wait() == CONFIGURATION and "nobody-at-all" in d.log()


def test_reload_for_an_owner_who_does_not_exist_is_refused(daemon, tmp_path):
    d = daemon(tcp())
    d.reconfigure(tcp(path=str(tmp_path / "socket"), owner="nobody-at-all"))
    assert run_upperctl(d, "reload").returncode == CONFIGURATION


BAD_VALUES = [("port", 65536), ("port", "http"), ("transport", "sctp"), ("address", "localhost"),
              ("max_line", "64q"), ("idle_timeout", "60"), ("framing", True)]


@pytest.mark.parametrize("key, value", BAD_VALUES)
def test_bad_value_is_named(write, key, value):
    faults = faults_of(check(write(configuration({**tcp(), key: value}))))
    assert f"error: listeners.tcp.{key}: " in faults


@pytest.mark.parametrize("text, word", [("", "listener"), ("listeners = (", "syntax"),
                                        ("\0", "NUL"), ('user = "\udcff";', "UTF-8")])
def test_bad_text_is_named(tmp_path, text, word):
    path = tmp_path / "bad.conf"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert word in faults_of(check(path))


@pytest.mark.parametrize("user", ["root", "0", "00"])
def test_workers_cannot_stay_root(write, start, user):
    path = write(configuration(tcp(), user=user))
    for args in ((), ("--check=strict",)):
        done = run_upperd("-c", path, *(args or ["--check"]))
        assert done.returncode == CONFIGURATION
        assert ":1:1: error: user: " in done.stderr
    d = start(tcp(), user=user)
    assert d.wait() == CONFIGURATION


def another_root():
    """Before the exec: a list of users in which root has a second name."""
    libc = ctypes.CDLL(None)
    with tempfile.NamedTemporaryFile("w", delete=False) as users:
        users.write(Path("/etc/passwd").read_text() + "toor:x:0:0::/:/bin/sh\n")
    os.chmod(users.name, 0o644)
    assert libc.unshare(0x20000) == 0
    assert libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None) == 0
    assert libc.mount(users.name.encode(), b"/etc/passwd", None, 1 << 12, None) == 0
    os.unlink(users.name)


def test_another_name_of_root_is_root(write, start, as_root, unsharing):
    d = start(tcp(), user="toor", before=another_root)
    assert d.wait() == CONFIGURATION
    assert "another name of root" in d.log()


def test_reload_cannot_make_workers_root(daemon):
    d = daemon(tcp())
    d.reconfigure(user="root")
    d.reload("reload-failed")
    assert tcp_ask(d.listeners[0], b"a") == b"A"


@pytest.mark.parametrize("text", ['user = "%s";', 'tls = { alpn = ["a", "%s"]; };', "workers = %s;"])
def test_value_without_end_is_told_with_its_key(write, text):
    key = "tls.alpn" if "alpn" in text else text.partition(" ")[0]
    done = check(write(text % ("1" * (1 << 20)) + configuration(tcp())))
    assert f"error: {key}: " in faults_of(done)
    assert len(done.stderr) < 1000


def test_duplicates_are_seen(write):
    one = tcp()
    text = configuration(one, {**one, "name": "other"}, udp(name="other"))
    faults = faults_of(check(write(text)))
    assert str(one["port"]) in faults and "other" in faults


@pytest.mark.parametrize("name", ["missing.conf", "."])
def test_what_cannot_be_read_is_named(tmp_path, name):
    done = check(tmp_path / name)
    assert done.returncode == CONFIGURATION
    assert str(tmp_path / name) in done.stderr


def test_faults_as_json(write):
    done = check(write(configuration(tcp(prot=1))), "--json")
    faults = json.loads(done.stdout)
    assert done.returncode == CONFIGURATION
    assert [fault["key"] for fault in faults] == ["listeners.tcp.prot"]
    assert faults[0]["level"] == "error" and faults[0]["line"] > 0


def test_sound_configuration_as_json(write):
    assert json.loads(check(write(configuration(tcp())), "--json").stdout) == []


def test_include(write):
    write(configuration(tcp(port=12345)), "rest.conf")
    path = write('@include "rest.conf"\n')
    assert "12345" in dump(path)


def test_fault_in_an_included_file_names_that_file(write):
    rest = write("wokers = 2;\n", "rest.conf")
    path = write('@include "rest.conf"\n' + configuration(tcp()))
    assert f"{rest.name}:1:1: error: wokers" in faults_of(check(path))


# --dump


def test_dump_is_a_fixed_point(write):
    path = write(configuration(udp(), tcp(framing="line", idle_timeout="90s"), workers=3))
    first = dump(path)
    second = dump(write(first, "first.conf"))
    assert second == first


def test_dump_gives_each_value_its_origin(write):
    path = write("workers = 3;\n" + configuration(tcp()).replace("workers = 2;", ""))
    text = dump(path, "--set", "drain=7s")
    lines = {key: line for line in text.splitlines() for key in ("workers", "drain", "user")
             if line.strip().startswith(key)}
    assert f"{path}:1" in lines["workers"]
    assert "--set" in lines["drain"] and "7s" in lines["drain"]
    assert re.search(r"default", next(line for line in text.splitlines() if "backlog" in line))


# --set


def test_set_wins_over_the_file(write):
    path = write(configuration(tcp(name="one"), workers=1))
    text = dump(path, "--set", "workers=5", "--set", "listeners.one.port=12999")
    assert re.search(r"workers = 5;", text) and re.search(r"port = 12999;", text)


def test_set_takes_effect(daemon):
    port = free_port()
    d = daemon(tcp(name="one"), args=["--set", f"listeners.one.port={port}"])
    assert tcp_ask({"address": "127.0.0.1", "port": port}, b"hello") == b"HELLO"
    assert d.expect("ready")


@pytest.mark.parametrize("option", ["wokers=1", "workers=many", "listeners.two.port=1", "workers"])
def test_bad_set_is_named(write, option):
    done = check(write(configuration(tcp(name="one"))), "--set", option)
    assert done.returncode in (USAGE, CONFIGURATION)
    assert option.partition("=")[0] in done.stderr


# Mistakes that people make: the fault marks the value, says the cause, and its advice works

UDP = 'transport = "udp"; port = 12000;'
ONE = "listeners = ( { " + UDP + " } );\n"


def marked(stderr):
    """The piece of the line that the caret and its tail are under."""
    line, marks = stderr.splitlines()[1:3]
    start = marks.index("^")
    return line[start:len(marks.rstrip())]


@pytest.mark.parametrize("wrong, mark, cause, right", [
    (f"listeners = (\n  {{ {UDP} }}\n  {{ {UDP[:-6]}1; }} );", "{", "a comma is missing before this group",
     f"listeners = (\n  {{ {UDP} }},\n  {{ {UDP[:-6]}1; }} );"),
    ("user = 'nobody';\n" + ONE, "'nobody'", "a string goes in double quotes", 'user = "nobody";\n' + ONE),
    ("listeners = ( { address = ::1; " + UDP + " } );", "::1", 'as in "::1"',
     'listeners = ( { address = "::1"; ' + UDP + " } );"),
    ("workers 4;\n" + ONE, "4", "'=' is missing between \"workers\" and its value", "workers = 4;\n" + ONE),
    ('{ "workers": 4 }', "{", "this looks like JSON; each setting is NAME = VALUE;", "workers = 4;\n" + ONE),
    ('"workers": 4\n', '"workers"', "this looks like JSON", "workers = 4;\n" + ONE),
    ("listeners:\n  - transport: udp\n", "-", "this looks like YAML; a list is ( { ... }, { ... } )", ONE),
    ("---\nworkers: 4\n", "---", "this looks like YAML; each setting is NAME = VALUE;", "workers = 4;\n" + ONE),
    ("workers = 4 processes;\n" + ONE, "processes", '"processes" is left over behind a value',
     "workers = 4;\n" + ONE),
    ("log = { access = yes; };\n" + ONE, "yes", "log.access: yes is no value; say true",
     "log = { access = true; };\n" + ONE),
    ("limits = { dry_run = Off; };\n" + ONE, "Off", "limits.dry_run: Off is no value; say false",
     "limits = { dry_run = false; };\n" + ONE),
    ("sandbox = off;\n" + ONE, "off", 'a string goes in quotes, as in "off"', 'sandbox = "off";\n' + ONE),
    ("drain = 30s;\n" + ONE, "30s", 'as in "30s"', 'drain = "30s";\n' + ONE),
    ('drain = "5 minutes";\n' + ONE, "drain", '"5 minutes" is no time; did you mean "5m"?', 'drain = "5m";\n' + ONE),
    ('listeners = ( { transport = "tcp"; port = 1;\n max_line = "1MB"; } );', "max_line",
     '"1MB" is no size; did you mean "1M"?',
     'listeners = ( { transport = "tcp"; port = 1;\n max_line = "1M"; } );'),
    ('listeners = ( {\n transport = "UDP"; port = 1; } );', "transport", '"UDP" is not known; did you mean "udp"?',
     'listeners = ( {\n transport = "udp"; port = 1; } );'),
    ("port = 80;\n" + ONE, "port", "a key of a listener; it goes into its group, as in listeners = ( { port = ...; } );",
     'listeners = ( { transport = "udp"; port = 80; } );'),
    ("listeners = ( { " + UDP + "\nworkers = 4; } );", "workers", "it goes beside listeners, as in workers = ...;",
     ONE + "workers = 4;"),
    ("log = { level = \"info\";\n" + ONE, "{", "log: syntax error: this '{' is never closed",
     "log = { level = \"info\"; };\n" + ONE),
])
def test_mistake_is_explained(write, wrong, mark, cause, right):
    people = ("--set", "user=nobody", "--set", "group=nogroup")
    done = check(write(wrong), *people)
    assert cause in faults_of(done).splitlines()[0]
    assert marked(done.stderr) == mark
    done = check(write(right), *people)
    assert done.returncode == 0, done.stderr


def test_comma_behind_the_last_element(write):
    """The library takes it since its version 1.7; then all that is wrong is the key."""
    libraries = json.loads(run_upperd("--version", "--json").stdout)["libraries"]
    version = next(one["built_with"] for one in libraries if one["name"] == "libconfig")
    takes_it = tuple(map(int, version.split(".")[:2])) >= (1, 7)
    done = check(write("x = (1, 2,);\n" + ONE), "--set", "user=nobody", "--set", "group=nogroup")
    cause = "x: unknown key" if takes_it else "a comma goes between two elements"
    assert cause in faults_of(done).splitlines()[0]
    assert marked(done.stderr) == ("x" if takes_it else ")")


def test_all_mistakes_of_syntax_are_told_at_once(write):
    stderr = faults_of(check(write("drain = 30s;\nuser = 'x';\nuser = \"y\";\nlog = { access = yes; };\n" + ONE)))
    assert [line for line in stderr.splitlines() if "error:" in line][-1].split(":")[1] == "4"
    assert stderr.count("error:") == 4


def test_verdict_counts_warnings(write, authority, with_tls):
    path = write(configuration(tls(authority.issue("ec", days=-1))))
    done = check(path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{path}: OK with 1 warning")
    assert "has expired" in done.stderr
    sound = check(write(configuration(tcp()), "sound.conf"))
    assert sound.stdout.splitlines()[-1].endswith("sound.conf: OK")
    assert check(path, "--check=strict").returncode == CONFIGURATION


# Starts that fail


def test_start_with_faults(start):
    d = start(tcp(prot=1))
    assert d.wait() == CONFIGURATION
    assert "did you mean" in d.log()


def test_start_on_a_busy_port(daemon, start):
    one = daemon(tcp()).listeners[0]
    d = start(one)
    assert d.wait() == SYSTEM
    assert str(one["port"]) in d.log()


def without_low_ports():
    """Root, but for the one capability that binds ports below 1024."""
    assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE) == 0


def test_start_without_permission(start, as_root):
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if limit <= 1:
        pytest.skip("every port is free for everyone here")
    d = start(tcp(port=1), before=without_low_ports)
    assert d.wait() == PERMISSION
    assert "127.0.0.1:1" in d.log()


def test_start_on_an_address_of_someone_else(start):
    d = start(tcp(address="192.0.2.1"))
    assert d.wait() == SYSTEM
    assert "192.0.2.1" in d.log()


@pytest.mark.parametrize("setting, said", [
    ('user = "nobody";', True), ('group = "upperd";', True), ("", False)])
def test_who_was_not_started_as_root_says_whom_it_passes_over(setting, said):
    """Where nobody can run it, if we are root. It ends for want of an address."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        config = Path(folder) / "upperd.conf"
        config.write_text(f"""{setting} control = {{ path = "{folder}/control"; }};
            listeners = ( {{ transport = "tcp"; address = "192.0.2.1"; port = 12000; }} );""")
        who = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        try:
            done = subprocess.run([rig.UPPERD, "-c", config], text=True, capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=rig.PATIENCE, **who)
        except PermissionError:
            pytest.skip("only root can run what was built here")
    assert done.returncode == SYSTEM
    assert ("not started as root" in done.stderr) == said


# The configurations that are shipped


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configuration_is_sound(path):
    """As far as it can be told without the certificates that it names."""
    faults = json.loads(run_upperd("-c", path, "--check", "--json", "--set", "user=nobody",
                                   "--set", "group=nogroup").stdout)
    messages = [fault["message"] for fault in faults]
    if any("not supported by this build" in message for message in messages):
        pytest.skip("it is for a feature that this build lacks")
    assert all("No such file" in message for message in messages), messages


# Mistakes on the command line, and what the system says to a configuration that is sound


@pytest.mark.parametrize("args, words", [
    (["--check", "--dump"], "one thing at a time: --check, --dump or --version"),
    (["--dump", "--version"], "one thing at a time"), (["extra"], 'unexpected argument "extra"; name the configuration with -c'),
    (["--check=lax"], 'the only kind is "strict"'), (["--json"], "--json is for --check")])
def test_odd_options(args, words):
    done = run_upperd(*args)
    assert done.returncode == 64 and words in done.stderr


@pytest.mark.parametrize("args, words", [
    ([], "a verb is missing"), (["stat"], "status, reload, metrics,"),
    (["status", "reload"], "one verb at a time, and not also reload"),
    (["reload", "--check"], "--check goes with status, and with nothing else"),
    (["attach"], "attach needs NAME"),
    (["log"], "log needs LEVEL"),
    (["clients", "clean"], 'all that can follow clients is "clear", not clean'),
    (["clients", "clear", "now"], "one thing at a time: now"),
    (["--socket"], "requires an argument"), (["--jsn", "status"], "unrecognized option")])
def test_odd_words_for_upperctl(args, words):
    done = subprocess.run([rig.UPPERCTL, *args], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=rig.PATIENCE)
    assert done.returncode == 64 and words in done.stderr
    assert done.stderr.endswith("Try 'upperctl --help'.\n")


def test_output_that_is_lost_is_no_success(daemon):
    """Also of an answer whose last part could be written."""
    d = daemon(tcp())
    commands = [[rig.UPPERCTL, "-s", d.folder / "control", *words] for words in (["status"], ["metrics"], ["--version"])]
    commands += [[rig.UPPERD, "-c", d.config, *words] for words in (["--check", "--json"], ["--dump"], ["--version"])]
    for command in commands:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=rig.PATIENCE)
        assert done.returncode == 74 and "No space left on device" in done.stderr, command


@pytest.mark.parametrize("keys, words", [
    ({"address": "192.0.2.77"}, "no interface of this machine has that address"),
    ({"interface": "nonesuch"}, "'ip link' shows the interfaces"),
    ({"path": "no-folder/socket"}, "its folder must be there")])
def test_start_says_what_would_do(start, tmp_path, keys, words):
    if "path" in keys:  # one that no other test has made
        keys = {"path": str(tmp_path / keys["path"])}
    d = start(tcp(**keys))
    assert d.wait() == 71 and words in d.records("start-failed")[0]["message"]


def test_start_says_how_to_find_who_has_the_port(start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        d = start(tcp(port=other.getsockname()[1]))
        assert d.wait() == 71
    assert "'ss -ltunp' shows who has it" in d.records("start-failed")[0]["message"]
