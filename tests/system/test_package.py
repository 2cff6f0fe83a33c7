# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: built from the tree as it is, and installed in a machine of their own."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import machine as machines
import process
from pki import Authority
from wire import Background

pytestmark = pytest.mark.plain

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("libupper-dev", "libupper1", "upper", "upperd")
SOCKETS = ("upperd.socket", "upperd-tcp.socket")


def copy_tree(to):
    """What git knows or would take, so that nothing is built from droppings."""
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-z", "--cached",
         "--others", "--exclude-standard"], check=True, capture_output=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The folder with the packages. Tests have run elsewhere, on the same code."""
    if not shutil.which("dpkg-buildpackage") or not shutil.which("dh"):
        pytest.skip("building packages needs dpkg-dev and debhelper")
    folder = tmp_path_factory.mktemp("package")
    copy_tree(folder / "upperd")
    done = subprocess.run(
        ["dpkg-buildpackage", "-b", "-us", "-uc"], cwd=folder / "upperd", text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck noautodbgsym parallel=2", "CC": "gcc"})
    assert done.returncode == 0, done.stdout[-5000:]
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    why = machines.why_not()
    if why:
        pytest.skip(why)
    one = machines.Machine(tmp_path_factory.mktemp("bare"), bare=True)
    one.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)  # it would start nothing
    one.path("/var/lib/man-db/auto-update").unlink(missing_ok=True)  # an index of all pages takes long
    one.files = files_of(one)
    yield one
    one.end()


@pytest.fixture(scope="module")
def installed(bare, built):
    """A machine with the packages in it, which the last test of this file purges."""
    for package in built.glob("*.deb"):
        shutil.copy(package, bare.path("/tmp"))
    bare.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/*.deb")
    return bare


def files_of(machine):
    return set(machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib/systemd", "/run/upperd",
                           "-name", "*upper*", check=False).stdout.splitlines())


def ask(machine, kind, data):
    with machine.network():
        s = socket.socket(socket.AF_INET, kind)
    with s:
        s.settimeout(30)
        s.connect(("127.0.0.1", 12000))
        s.send(data)
        return s.recv(100)


def test_lintian_finds_nothing(built):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    changes = next(built.glob("*.changes"))
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_as_many_packages_as_promised(built):
    assert {path.name.partition("_")[0] for path in built.glob("*.deb")} == set(PACKAGES)


def test_installed_package_serves_without_a_further_step(installed):
    for unit in SOCKETS:
        assert installed.show(unit, "ActiveState") == "active"
        assert installed.show(unit, "UnitFileState") == "enabled"
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"


def test_upgraded_package_is_the_same_process(installed):
    """Installed again over itself: the running daemon becomes the program that came with it."""
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    pid = installed.show("upperd.service", "MainPID")
    installed.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/upperd_*.deb")
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    assert installed.show("upperd.service", "MainPID") == pid
    assert "(deleted)" not in os.readlink(f"/proc/{installed.supervisor()}/exe")


def package_before(built, folder):
    """This package with a lower version, and with another configuration, as one that is upgraded would have."""
    subprocess.run(["dpkg-deb", "-R", next(built.glob("upperd_*.deb")), folder / "before"], check=True)
    control = folder / "before/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", "Version: 0.0.9", control.read_text(), flags=re.M))
    shipped = folder / "before/etc/upperd/upperd.conf"
    shipped.write_text("# As it was before.\n" + shipped.read_text())
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", folder / "before", folder / "before.deb"], check=True,
                   capture_output=True)
    return folder / "before.deb"


def test_upgrade_from_a_version_before_keeps_everything(installed, built, tmp_path):
    """What the administrator changed, what is enabled, the process, and every request."""
    config, drop_in = "/etc/upperd/upperd.conf", "/etc/systemd/system/upperd-tcp.socket.d/mine.conf"
    shutil.copy(package_before(built, tmp_path), installed.path("/tmp/before"))
    current = installed.path(config).read_text()
    installed.run("dpkg", "--force-unsafe-io", "--force-downgrade", "--force-confnew", "-i", "/tmp/before")
    installed.path(config).write_text("workers = 1;\n" + installed.path(config).read_text())
    edited = installed.path(config).read_text()
    installed.path(drop_in).parent.mkdir(parents=True)
    installed.path(drop_in).write_text("[Socket]\nBacklog=77\n")
    installed.systemctl("daemon-reload")
    installed.systemctl("disable", "upperd-tcp.socket")
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    assert installed.run("upperctl", "reload").stdout.endswith("reloaded\n")
    pid = installed.show("upperd.service", "MainPID")
    try:
        with Background(lambda: ask(installed, socket.SOCK_STREAM, b"b")) as asked:
            asked.ask_more(3)
            installed.run("sh", "-c", "dpkg --force-unsafe-io --force-confdef --force-confold -i /tmp/upperd_*.deb")
            asked.ask_more(3)
        assert not asked.failures
        assert installed.path(config).read_text() == edited
        assert installed.path(drop_in).read_text() == "[Socket]\nBacklog=77\n"
        assert installed.show("upperd.service", "MainPID") == pid
        assert installed.show("upperd-tcp.socket", "UnitFileState") == "disabled"
        assert installed.show("upperd.socket", "UnitFileState") == "enabled"
        assert installed.run("dpkg-query", "-W", "-f", "${Version}", "upperd").stdout != "0.0.9"
    finally:
        installed.path(config).write_text(current)
        installed.run("rm", "-rf", "/etc/systemd/system/upperd-tcp.socket.d", f"{config}.dpkg-dist")
        installed.systemctl("daemon-reload")
        installed.systemctl("enable", "upperd-tcp.socket")
        installed.run("upperctl", "reload")


def test_unit_that_serves_is_restarted_when_an_upgrade_fails(installed):
    """Its main process is another one afterwards, and nothing else was started or stopped."""
    control = installed.path("/usr/local/bin/upperctl")
    installed.systemctl("disable", "--now", *SOCKETS, "upperd.service")
    installed.systemctl("enable", "--now", "upperd-bind.service")
    pid = installed.show("upperd-bind.service", "MainPID")
    control.write_text("#!/bin/sh\nexit 71\n")
    control.chmod(0o755)
    try:
        installed.run("sh", "-c", "dpkg --force-unsafe-io -i /tmp/upperd_*.deb")
    finally:
        control.unlink()
    assert installed.show("upperd-bind.service", "ActiveState") == "active"
    assert installed.show("upperd-bind.service", "MainPID") not in ("0", pid)
    assert installed.show("upperd.service", "ActiveState") == "inactive"
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    installed.systemctl("disable", "--now", "upperd-bind.service")
    installed.systemctl("enable", "--now", *SOCKETS)


def test_packages_own_tests(installed, built):
    """debian/tests, as Debian's infrastructure would run them, on the machine as it is; it is our own, and
    may be spoilt."""
    if not shutil.which("autopkgtest"):
        pytest.skip("autopkgtest is not installed")
    shutil.copytree(ROOT / "debian", installed.path("/tmp/source/debian"))
    shipped = installed.path("/etc/upperd/upperd.conf").read_text()
    done = installed.run("env", "HOME=/root", "autopkgtest", "--no-built-binaries",
                         "--ignore-restrictions=isolation-container", "/tmp/source/", "--", "null",
                         check=False, seconds=300)
    installed.run("systemctl", "disable", "--now", "upperd-tls.socket", "upperd-certificate@localhost",
                  "upperd-certificate@localhost.path", check=False)
    installed.systemctl("stop", "upperd.service")
    installed.path("/etc/upperd/upperd.conf").write_text(shipped)
    installed.run("rm", "-rf", "/etc/upperd/certificates")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(\w+) +(PASS|FAIL|SKIP)", done.stdout, re.M) == [
        ("service", "PASS"), ("library", "PASS")], done.stdout


def test_the_network_is_opened_as_the_readme_of_the_package_says(installed):
    """Its commands, typed; before, this machine alone reaches the ports."""
    def is_open():
        listing = installed.run("ss", "-Hlntu", "sport = :12000").stdout
        return sorted(line.split()[4] for line in listing.splitlines())

    assert is_open() == ["127.0.0.1:12000", "127.0.0.1:12000"]
    text = (ROOT / "debian/upperd.README.Debian").read_text().partition("Open to the network")[2]
    for line in re.search(r"\n\n((?: {4}\S.*\n)+)", text)[1].splitlines():
        installed.run("sh", "-c", line.strip())
    try:
        assert is_open() == ["*:12000", "*:12000"]
        assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    finally:
        installed.run("rm", "-r", "/etc/systemd/system/upperd.socket.d",
                      "/etc/systemd/system/upperd-tcp.socket.d")
        installed.systemctl("daemon-reload")
        installed.systemctl("stop", "upperd.service", *SOCKETS)
        installed.systemctl("start", *SOCKETS)


# In a container


class Podman:
    """podman in the machine; its store lies in memory, since an overlay cannot lie on another."""

    def __init__(self, machine):
        self.machine = machine
        machine.run("sh", "-c", "mkdir -p /var/lib/containers && "
                    "mount -t tmpfs containers /var/lib/containers")

    def __call__(self, *args, **options):
        return self.machine.run("podman", "--storage-driver=vfs", *args, **options)

    def close(self):
        self("rm", "--force", "--all", check=False)
        self.machine.run("umount", "/var/lib/containers")


@pytest.fixture
def podman(installed, built):
    """With the image of the packages in it."""
    for tool in ("podman", "buildah", "mmdebstrap", "crun"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    done = subprocess.run([ROOT / "container/build", built], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    image = installed.path("/tmp/image.tar")
    subprocess.run(["podman", "save", "-q", "-o", image, "localhost/upperd"], check=True)
    one = Podman(installed)
    one("load", "-q", "-i", "/tmp/image.tar")
    image.unlink()
    yield one
    one.close()


def test_container_that_may_write_nothing_and_has_no_capability(podman):
    """Without limits by control groups, which podman cannot set in here, and with no network."""
    podman("run", "-d", "--name", "upperd", "--network=none", "--read-only", "--cap-drop=all",
           "--security-opt=no-new-privileges", "--cgroups=disabled", "--ulimit=nofile=4096:4096",
           "--ulimit=nproc=1000:1000", "localhost/upperd")
    try:
        process.wait_until(lambda: '"ready"' in podman("logs", "upperd").stderr, 60, "the container")
        assert podman("exec", "upperd", "upper", "tcp://127.0.0.1", "straße").stdout == "STRASSE\n"
        assert podman("exec", "upperd", "upper", "udp://127.0.0.1", "straße").stdout == "STRASSE\n"
        podman("healthcheck", "run", "upperd")
        held = podman("exec", "upperd", "upperctl", "-s", "/tmp/control", "sandbox").stdout
        assert held.endswith("All of it held.\n")
        assert podman("exec", "upperd", "sh", check=False).returncode != 0  # there is none
        podman("stop", "-t", "20", "upperd")
        assert podman("inspect", "upperd", "--format", "{{.State.ExitCode}}").stdout == "0\n"
    finally:
        print(podman("logs", "upperd", check=False))


QUADLET = {"Image": [], "ContainerName": ["--name"], "Network": ["--network"], "DropCapability": ["--cap-drop"],
           "Pull": ["--pull"], "StopTimeout": ["--stop-timeout"], "ReadOnly": "--read-only", "NoNewPrivileges": "--security-opt=no-new-privileges"}


def quadlet_command():
    """What podman's generator makes of the section [Container]; podman 4.3 has none."""
    text = (ROOT / "container/upperd.container").read_text().partition("[Container]\n")[2].partition("\n\n")[0]
    settings = dict(line.split("=", 1) for line in text.splitlines())
    words = []
    for key, value in settings.items():
        if isinstance(QUADLET[key], str):
            assert value == "yes"
            words.append(QUADLET[key])
        elif QUADLET[key]:
            words.append(f"{QUADLET[key][0]}='{value}'")
    return " ".join([*words, settings["Image"]])


def test_quadlet_serves_the_sockets_of_systemd_without_a_network(podman):
    """The command that a generator makes, in a unit of its own; limits of control groups cannot be set in here."""
    machine = podman.machine
    machine.systemctl("stop", "upperd.service", *SOCKETS)
    folder = machine.path("/run/systemd/system")
    names = {"upperd.socket": "boxed.socket", "upperd-tcp.socket": "boxed-tcp.socket"}
    for name, ours in names.items():
        text = (ROOT / "container" / name).read_text()
        (folder / ours).write_text(text.replace("upperd.service", "boxed.service"))
    (folder / "boxed.service").write_text(
        "[Unit]\nRequires=boxed.socket boxed-tcp.socket\n[Service]\nDelegate=yes\nTimeoutStartSec=100\n"
        "ExecStart=/usr/bin/podman --storage-driver=vfs run --rm --cgroups=disabled --ulimit=nofile=4096:4096 "
        f"--ulimit=nproc=1000:1000 {quadlet_command()}\n")
    machine.systemctl("daemon-reload")
    start = machine.cursor()
    try:
        machine.systemctl("start", *names.values())
        assert ask(machine, socket.SOCK_DGRAM, b"a") == b"A"
        assert ask(machine, socket.SOCK_STREAM, b"b") == b"B"
        assert podman("exec", "upperd", "upper", "check", "unix:/tmp/health").returncode == 0
        podman("healthcheck", "run", "upperd")
        assert podman("exec", "upperd", "upper", "udp://127.0.0.1", "a", check=False).returncode != 0
    finally:
        print(machine.run("journalctl", "--no-pager", "--after-cursor", start, check=False).stdout)
        machine.systemctl("stop", *names.values(), "boxed.service", check=False)
        for name in (*names.values(), "boxed.service"):
            (folder / name).unlink()
        machine.systemctl("daemon-reload")
        machine.systemctl("start", *SOCKETS)


def test_quadlet_is_one_to_the_generator():
    generator = Path("/usr/libexec/podman/quadlet")
    if not generator.exists():
        pytest.skip("this podman has no quadlet generator (4.4 and later have)")
    done = subprocess.run([generator, "-dryrun", "-user"], capture_output=True, text=True,
                          env={**os.environ, "QUADLET_UNIT_DIRS": str(ROOT / "container")})
    assert done.returncode == 0, done.stderr
    for words in ("--network none", "--read-only", "--cap-drop all", "localhost/upperd"):
        assert words in done.stdout.replace("--network=none", "--network none").replace("--cap-drop=all", "--cap-drop all")


# With the schemas of Kubernetes as the npm package kubernetes-models has them; they let unknown keys pass.
VALIDATE = """
for (const one of JSON.parse(require("fs").readFileSync(0))) {
	const Kind = require("kubernetes-models/" + one.apiVersion + "/" + one.kind)[one.kind];
	new Kind(one).validate();
}
"""


@pytest.fixture(scope="module")
def validate(tmp_path_factory):
    """Returns the result of a validation of the text of a manifest."""
    yaml = pytest.importorskip("yaml", reason="python3-yaml is not installed")
    if not shutil.which("npm"):
        pytest.skip("npm is not installed, so the schemas cannot be had")
    folder = tmp_path_factory.mktemp("kubernetes")
    got = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts",
                          "kubernetes-models@4.5.1"], cwd=folder, capture_output=True, text=True, timeout=300)
    if got.returncode != 0:
        pytest.skip(f"npm cannot get the schemas here: {got.stderr[-200:]}")

    def run(text):
        return subprocess.run(["node", "-e", VALIDATE], cwd=folder, capture_output=True, text=True,
                              input=json.dumps(list(yaml.safe_load_all(text))))

    return run


def test_kubernetes_manifest_against_its_schema(validate):
    text = (ROOT / "container/kubernetes.yaml").read_text()
    done = validate(text)
    assert done.returncode == 0, done.stderr
    for right, wrong in (("periodSeconds: 20", "periodSeconds: often"), ("containers:", "container:"),
                         ("runAsNonRoot: true", "runAsNonRoot: 1")):
        assert right in text
        assert validate(text.replace(right, wrong)).returncode != 0, wrong


# TLS, as README has it


NAME = "upper.example.org"
LIVE, ARCHIVE = f"/etc/letsencrypt/live/{NAME}", f"/etc/letsencrypt/archive/{NAME}"


def typed_in_readme(heading="### TLS of an installed package"):
    """The commands of the first block below a heading, a line each."""
    text = (ROOT / "README.md").read_text().partition(f"\n{heading}\n")[2]
    block = re.search(r"\n\n((?: {4}\S.*\n)+)", text)[1]
    return [line.strip() for line in block.splitlines()]


class Certbot:
    """Its folders: what is in live/ are links to the newest of archive/, and all of it is root's alone."""

    def __init__(self, machine, authority):
        self.machine, self.authority, self.n = machine, authority, 0
        machine.run("mkdir", "-p", LIVE, ARCHIVE)
        machine.run("chmod", "0700", "/etc/letsencrypt/live", "/etc/letsencrypt/archive")

    def renew(self, key_of_another=False):
        self.n += 1
        pair = self.authority.issue("ec", sans=(NAME,))
        key = self.authority.issue("ec", sans=(NAME,)).key if key_of_another else pair.key
        for word, source in (("fullchain", pair.certificate), ("privkey", key)):
            target = self.machine.path(f"{ARCHIVE}/{word}{self.n}.pem")
            target.write_bytes(source.read_bytes())
            target.chmod(0o600)
            self.machine.run("ln", "-sfn", f"../../archive/{NAME}/{word}{self.n}.pem",
                             f"{LIVE}/{word}.pem")
        return pair


def certificate_served(machine, context):
    with machine.network():
        plain = socket.create_connection(("127.0.0.1", 12443), timeout=30)
    with context.wrap_socket(plain, server_hostname=NAME) as s:
        s.sendall(b"straight")
        assert s.recv(100) == b"STRAIGHT"
        return s.getpeercert(binary_form=True)


def der_of(pair):
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


def wait_served(machine, context, pair, seconds):
    end = time.monotonic() + seconds
    while certificate_served(machine, context) != der_of(pair):
        assert time.monotonic() < end, "the certificate is not served"
        time.sleep(0.1)


@pytest.fixture
def certbot(installed, tmp_path):
    shipped = installed.path("/etc/upperd/upperd.conf").read_text()
    start = installed.cursor()
    yield Certbot(installed, Authority(tmp_path / "pki"))
    print(installed.run("journalctl", "--no-pager", "--after-cursor", start, check=False).stdout)
    installed.run("systemctl", "disable", "--now", "upperd-tls.socket",
                  f"upperd-certificate@{NAME}.service", f"upperd-certificate@{NAME}.path", check=False)
    installed.systemctl("stop", "upperd.service")
    installed.path("/etc/upperd/upperd.conf").write_text(shipped)
    installed.run("rm", "-rf", "/run/upperd-certificates", "/etc/letsencrypt")


def test_tls_by_the_recipe_and_renewed_under_load(certbot, installed):
    """README typed to the letter, in folders of mode 0700; then renewals with new keys, and one that is bad."""
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"  # it runs already
    first = certbot.renew()
    for line in typed_in_readme():
        installed.run("sh", "-c", line)
    context = ssl.create_default_context(cafile=str(certbot.authority.file))
    wait_served(installed, context, first, 5)
    assert ask(installed, socket.SOCK_STREAM, b"b") == b"B"
    pid = installed.show("upperd.service", "MainPID")

    ended, served = threading.Event(), []

    def load():
        while not ended.is_set():
            served.append(certificate_served(installed, context))

    with ThreadPoolExecutor(2) as pool:
        handshakes = [pool.submit(load) for _ in range(2)]
        try:
            wait_served(installed, context, certbot.renew(), 5)
            last = certbot.renew()
            wait_served(installed, context, last, 5)
            cursor = installed.cursor()
            certbot.renew(key_of_another=True)
            process.wait_until(lambda: [
                record for record in installed.journal("--after-cursor", cursor)
                if record.get("UPPERD_EVENT") == "reload-failed"], 30, "a refusal in the log")
        finally:
            ended.set()
        for handshake in handshakes:
            handshake.result()
    assert set(served[-2:]) == {der_of(last)}
    assert len(set(served)) == 3
    assert installed.show("upperd.service", "MainPID") == pid


def test_a_certificate_is_handed_over_again_after_a_boot(certbot, installed):
    """Nothing is in /run then; the start of the service waits for the copy."""
    first = certbot.renew()
    for line in typed_in_readme():
        installed.run("sh", "-c", line)
    installed.systemctl("stop", "upperd.service", f"upperd-certificate@{NAME}.path")
    installed.run("rm", "-rf", "/run/upperd-certificates")
    context = ssl.create_default_context(cafile=str(certbot.authority.file))
    assert certificate_served(installed, context) == der_of(first)


def test_the_readme_of_the_package_has_the_same_recipe():
    lines = [line.strip() for line in (ROOT / "debian/upperd.README.Debian").read_text().splitlines()]
    recipe = typed_in_readme()
    assert lines[lines.index(recipe[0]):][:len(recipe)] == recipe


def test_keys_are_for_the_service_alone(certbot, installed):
    certbot.renew()
    installed.systemctl("start", f"upperd-certificate@{NAME}.service")
    folder = installed.path(f"/run/upperd-certificates/{NAME}/").resolve()
    listing = installed.run("sh", "-c", f"stat -L -c '%U %a' /run/upperd-certificates/{NAME} "
                            f"/run/upperd-certificates/{NAME}/*.pem").stdout.splitlines()
    assert listing == ["root 711", "upperd 400", "upperd 400"], folder


def test_purge_leaves_nothing(installed):
    installed.run("getent", "passwd", "upperd")
    assert ask(installed, socket.SOCK_DGRAM, b"a") == b"A"
    installed.run("dpkg", "--purge", *PACKAGES)
    assert installed.run("getent", "passwd", "upperd", check=False).returncode != 0
    assert installed.systemctl("list-units", "--all", "--plain", "--no-legend", "upperd*").stdout == ""
    assert files_of(installed) == installed.files
