# SPDX-License-Identifier: Apache-2.0
"""All that a process does with OpenSSL is done with one set of providers: a worker and --check with those of
struct tls, the keeper with the library's default ones. A session whose contexts have different ones was once
read out of bounds."""

import re

import pytest

from tree import files_with, name_of

KEEPER = {"keys.c", "handshake_text.c"}
SOURCES = [path for path in files_with(".c", under="src/tls/") if path.name not in KEEPER]
DEFAULT = re.compile(r"\bEVP_(?:sha|aes|chacha|md)\w*\(\)|\bRAND_bytes\(|\bSSL_CTX_new\(|\bX509_new\(|"
                     r"\bX509_CRL_new\(|\bd2i_PUBKEY\(|\bEVP_Digest\(|"
                     r"(?:_fetch|_new_ex|_from_name|_from_pkey)\(\s*NULL|PEM_read_bio_X509\w*\(\w+, NULL")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_other_set_of_providers(path):
    assert not [found[0] for found in DEFAULT.finditer(path.read_text())]


@pytest.mark.parametrize("text", [
    "EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key, iv)", "RAND_bytes(iv, 16)",
    "SSL_CTX_new(TLS_server_method())", "EVP_MD_fetch(NULL, name, NULL)",
    "PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)"])
def test_this_test_finds_them(text):
    assert DEFAULT.search(text)
