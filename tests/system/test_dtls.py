# SPDX-License-Identifier: Apache-2.0
"""DTLS as clients see it: s_client gets its text, and certificates are those of TLS."""

import pytest

from dtls import dtls, many_clients, s_client
from pki import Authority
from rig import run_upperd
from settings import configuration

pytestmark = pytest.mark.usefixtures("with_tls")

STRICT = ("-verify_return_error",)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("ec")


@pytest.fixture
def server(daemon, pair):
    return lambda **keys: daemon(dtls(pair, **keys)).listeners[0]


def test_s_client_gets_its_answer(server, authority):
    said = s_client(server(), "-quiet", "-CAfile", authority.file, *STRICT,
                    "-verify_hostname", "localhost")
    assert "HELLO\n" in said


@pytest.mark.parametrize("kind", ["ec", "ec384", "rsa"])
def test_keys_of_every_kind_sign_through_the_keeper(daemon, authority, kind):
    at = daemon(dtls(authority.issue(kind))).listeners[0]
    said = s_client(at, "-quiet", "-CAfile", authority.file, *STRICT)
    assert "HELLO\n" in said


def test_a_key_that_dtls_cannot_use_is_a_fault(authority, tmp_path):
    config = tmp_path / "upperd.conf"
    config.write_text(configuration(dtls(authority.issue("ed25519"))))
    checked = run_upperd("-c", config, "--check")
    assert checked.returncode == 78
    assert "cannot be spoken with Ed25519 alone" in checked.stdout + checked.stderr


def test_messages_of_one_byte_to_the_longest_record(server):
    many_clients(server(), 1, 1, 2, 3, 255, 1199, 1232, 1233, 1400, 1473, 4096, 8191, 12345, 16383, 16384)


def test_a_thousand_clients_at_once_get_each_its_own(daemon, pair):
    running = daemon(dtls(pair))
    many_clients(running.listeners[0], 1000, 10, 100)
