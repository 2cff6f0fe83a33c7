/* SPDX-License-Identifier: Apache-2.0 */

/* The keeper signs handshakes of TLS servers and nothing that could pass for another document. A forger
 * is played here: it builds texts of other kinds, with a field of its own choice over every byte that the
 * keeper knows of a handshake, and asks for a signature. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls/keys.h"
#include "tls/request.h"

#define FILLER 0x5a

enum { KEY_TLS, KEY_1_3, KEY_DTLS, KEY_ED25519, KEY_ED25519_DTLS, N_KEYS };

static struct keys *keys;
static int worker = -1, keeper = -1;

static void add_key(EVP_PKEY *key, enum key_use use)
{
	struct tls_fault fault;
	char *data;
	BIO *memory = BIO_new(BIO_s_mem());
	struct tls_text text = {.name = "key.pem"};

	assert_non_null(key);
	assert_int_equal(PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL), 1);
	text.len = (size_t)BIO_get_mem_data(memory, &data);
	text.data = data;
	assert_int_equal(keys_add(keys, &text, use, &fault), 0);
	BIO_free(memory);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	int pair[2];

	assert_int_equal(keys_new(&keys), 0);
	add_key(EVP_EC_gen("P-256"), KEY_USE_TLS);
	add_key(EVP_EC_gen("P-256"), KEY_USE_TLS_1_3);
	add_key(EVP_EC_gen("P-256"), KEY_USE_DTLS);
	add_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), KEY_USE_TLS);
	add_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), KEY_USE_DTLS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	worker = pair[0];
	keeper = pair[1];
	return 0;
}

static int teardown(void **state)
{
	keys_free(keys);
	close(worker);
	close(keeper);
	return 0;
}

/* A text that grows. */
struct made {
	unsigned char data[REQUEST_DATA];
	size_t len;
};

static void put(struct made *to, const void *data, size_t len)
{
	assert_true(len <= sizeof(to->data) - to->len);
	memcpy(to->data + to->len, data, len);
	to->len += len;
}

static void fill(struct made *to, int byte, size_t len)
{
	assert_true(len <= sizeof(to->data) - to->len);
	memset(to->data + to->len, byte, len);
	to->len += len;
}

static void put_header(struct made *to, unsigned char tag, size_t len)
{
	const unsigned char shorter[] = {tag, (unsigned char)len};
	const unsigned char longer[] = {tag, 0x81, (unsigned char)len};
	const unsigned char longest[] = {tag, 0x82, (unsigned char)(len >> 8), (unsigned char)len};

	if (len < 0x80)
		put(to, shorter, sizeof(shorter));
	else if (len < 0x100)
		put(to, longer, sizeof(longer));
	else
		put(to, longest, sizeof(longest));
}

#define PUT(to, ...)                                         \
	do {                                                 \
		const unsigned char bytes[] = {__VA_ARGS__}; \
		put(to, bytes, sizeof(bytes));               \
	} while (0)

enum said { SIGNED, REFUSED, CUT };

static enum said ask(uint32_t key, const struct made *text)
{
	struct key_request request = {.head = {.what = REQUEST_SIGN, .key = key}};
	const size_t size = sizeof(request.head) + text->len;
	struct key_reply reply;
	int r;

	request.head.len = (uint32_t)text->len;
	request.head.digest = key < KEY_ED25519 ? DIGEST_SHA256 : DIGEST_NONE;
	memcpy(request.data, text->data, text->len);
	assert_int_equal(send(worker, &request, size, 0), size);
	r = keys_reply(keys, keeper);
	if (r == KEYS_E_MALFORMED)
		return CUT;
	assert_int_equal(r, 0);
	assert_true(recv(worker, &reply, sizeof(reply), 0) >= (ssize_t)sizeof(reply.head));
	return reply.head.len > 0 ? SIGNED : REFUSED;
}

/* Of a handshake */

static const struct {
	unsigned char id;
	size_t len;
	int nid;
} curves[] = {{0x1d, 32, 0}, {0x17, 65, NID_X9_62_prime256v1}, {0x18, 97, NID_secp384r1}};

enum { X25519, P256, P384 };

/* Changes the end of the text, from `free_at` on, until it is a point. */
static void end_on_curve(struct made *text, int curve, size_t free_at)
{
	const size_t half = (curves[curve].len - 1) / 2, x_at = 69, y_at = x_at + half;
	EC_GROUP *group = EC_GROUP_new_by_curve_name(curves[curve].nid);
	EC_POINT *point = EC_POINT_new(group);
	BIGNUM *x = NULL, *y = BN_new();

	assert_int_equal(text->len, 68 + curves[curve].len);
	assert_true(free_at <= y_at);
	for (unsigned i = 0; i < 10000; i++) {
		if (free_at + 2 <= y_at)
			memcpy(text->data + free_at, &(uint16_t){(uint16_t)i}, 2);
		x = BN_bin2bn(text->data + x_at, (int)half, x);
		if (EC_POINT_set_compressed_coordinates(group, point, x, 0, NULL) == 1)
			break;
	}
	assert_int_equal(EC_POINT_get_affine_coordinates(group, point, x, y, NULL), 1);
	assert_int_equal(BN_bn2binpad(y, text->data + y_at, (int)half), half);
	BN_free(x);
	BN_free(y);
	EC_POINT_free(point);
	EC_GROUP_free(group);
}

static void name_curve(struct made *text, int curve)
{
	const unsigned char name[] = {3, 0, curves[curve].id, (unsigned char)curves[curve].len};

	memcpy(text->data + 64, name, sizeof(name));
	if (curve != X25519)
		text->data[68] = 4;
}

static void put_mark(struct made *text)
{
	memcpy(text->data + 56, "DOWNGRD\1", 8);
}

static void make_1_2(struct made *text, int curve, bool is_downgraded)
{
	*text = (struct made){0};
	fill(text, FILLER, 68 + curves[curve].len);
	name_curve(text, curve);
	if (is_downgraded)
		put_mark(text);
	if (curve != X25519)
		end_on_curve(text, curve, 70);
}

static void make_1_3(struct made *text)
{
	static const char words[] = "TLS 1.3, server CertificateVerify";

	*text = (struct made){0};
	fill(text, ' ', 64);
	put(text, words, sizeof(words));
	fill(text, FILLER, 32);
}

static void test_handshakes_are_signed(void **state)
{
	struct made text;

	for (int curve = X25519; curve <= P384; curve++) {
		make_1_2(&text, curve, true);
		assert_int_equal(ask(KEY_TLS, &text), SIGNED);
		assert_int_equal(ask(KEY_ED25519, &text), SIGNED);
		make_1_2(&text, curve, false);
		assert_int_equal(ask(KEY_DTLS, &text), SIGNED);
	}
	make_1_3(&text);
	assert_int_equal(ask(KEY_TLS, &text), SIGNED);
	assert_int_equal(ask(KEY_1_3, &text), SIGNED);
	assert_int_equal(ask(KEY_ED25519, &text), SIGNED);
}

static void test_a_key_signs_what_its_listener_speaks(void **state)
{
	struct made text;

	make_1_2(&text, X25519, true);
	assert_int_equal(ask(KEY_1_3, &text), CUT);
	make_1_2(&text, X25519, false);
	assert_int_equal(ask(KEY_TLS, &text), CUT);
	assert_int_equal(ask(KEY_ED25519_DTLS, &text), CUT);
	make_1_3(&text);
	assert_int_equal(ask(KEY_DTLS, &text), CUT);
}

static void test_every_known_byte_is_held_to(void **state)
{
	static const size_t known[] = {56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68};
	struct made text;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		for (int bit = 0; bit < 8; bit++) {
			make_1_2(&text, P256, true);
			text.data[known[i]] ^= (unsigned char)(1 << bit);
			assert_int_equal(ask(KEY_TLS, &text), CUT);
		}
}

static void test_the_length_is_that_of_the_curve(void **state)
{
	struct made text;

	for (size_t len = 0; len <= 255; len++) {
		make_1_2(&text, X25519, true);
		text.len = 0;
		fill(&text, FILLER, 68 + len);
		name_curve(&text, X25519);
		put_mark(&text);
		text.data[67] = (unsigned char)len;
		assert_int_equal(ask(KEY_TLS, &text), len == 32 ? SIGNED : CUT);
	}
}

static void test_a_point_is_on_its_curve(void **state)
{
	struct made text;

	for (int curve = P256; curve <= P384; curve++) {
		make_1_2(&text, curve, true);
		text.data[text.len - 1] ^= 1;
		assert_int_equal(ask(KEY_TLS, &text), CUT);
		memset(text.data + 69, 0, text.len - 69);
		assert_int_equal(ask(KEY_TLS, &text), CUT);
		memset(text.data + 69, 0xff, text.len - 69);
		assert_int_equal(ask(KEY_TLS, &text), CUT);
	}
}

/* Of other documents. Each has a field of the forger's over bytes 56 to 68. */

static const unsigned char ecdsa_sha256[] = {
	0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2};
static const unsigned char localhost[] = {0x30, 0x14, 0x31, 0x12, 0x30, 0x10, 6, 3, 0x55, 4, 3,
	0x0c, 9, 'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't'};
static const unsigned char no_name[] = {0x30, 0};
static const unsigned char validity[] = "\x30\x1e\x17\x0d"
					"260101000000Z\x17\x0d"
					"360101000000Z";
static const unsigned char now[] = "\x17\x0d"
				   "260101000000Z";
static const unsigned char ed25519_key[] = {
	0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0};
#define WITHOUT_NUL(text) text, sizeof(text) - 1

static void put_key(struct made *to)
{
	put(to, ed25519_key, sizeof(ed25519_key));
	fill(to, FILLER, 32);
}

/* The one that was seen: a certificate of a key of the forger's, whose serial number has 58 bytes. The
 * rest is filled up by a name. */
static void make_certificate(struct made *text)
{
	const size_t rest = 266 - 4 - 5 - 60 - sizeof(ecdsa_sha256) - sizeof(localhost) -
		(sizeof(validity) - 1) - 44;

	*text = (struct made){0};
	put_header(text, 0x30, 266 - 4);
	PUT(text, 0xa0, 3, 2, 1, 2);
	put_header(text, 2, 58);
	fill(text, FILLER, 58);
	put(text, ecdsa_sha256, sizeof(ecdsa_sha256));
	put(text, localhost, sizeof(localhost));
	put(text, WITHOUT_NUL(validity));
	PUT(text, 0x30, (unsigned char)(rest - 2), 0x31, (unsigned char)(rest - 4), 0x30,
		(unsigned char)(rest - 6), 6, 3, 0x55, 4, 3, 0x0c, (unsigned char)(rest - 13));
	fill(text, 'x', rest - 13);
	put_key(text);
	assert_int_equal(text->len, 266);
	text->data[64] = 3;
	text->data[67] = 266 - 68;
}

static void test_the_certificate_that_was_signed_once_is_not(void **state)
{
	struct made text;

	make_certificate(&text);
	for (uint32_t key = KEY_TLS; key < KEY_ED25519; key++)
		assert_int_equal(ask(key, &text), CUT);
	memcpy(text.data + 64, (unsigned char[]){3, 0, 0x18, 266 - 68, 4}, 5);
	put_mark(&text);
	for (uint32_t key = KEY_TLS; key < KEY_ED25519; key++)
		assert_int_equal(ask(key, &text), CUT);
}

/* As long as a share on P-384, with an empty name. */
static void make_short_certificate(struct made *text)
{
	const size_t serial = 165 - 3 - 2 - sizeof(ecdsa_sha256) - 2 - 32 - 2 - 44;

	put_header(text, 0x30, 165 - 3);
	put_header(text, 2, serial);
	fill(text, FILLER, serial);
	put(text, ecdsa_sha256, sizeof(ecdsa_sha256));
	put(text, no_name, sizeof(no_name));
	put(text, WITHOUT_NUL(validity));
	put(text, no_name, sizeof(no_name));
	put_key(text);
}

/* With an attribute of the forger's behind the key. */
static void make_request(struct made *text)
{
	const size_t attribute = 133 - 3 - 3 - 2 - 44 - 2 - 4 - 3 - 2 - 2;

	put_header(text, 0x30, 133 - 3);
	PUT(text, 2, 1, 0);
	put(text, no_name, sizeof(no_name));
	put_key(text);
	put_header(text, 0xa0, attribute + 11);
	put_header(text, 0x30, attribute + 9);
	PUT(text, 6, 3, 0x55, 4, 3);
	put_header(text, 0x31, attribute + 2);
	put_header(text, 4, attribute);
	fill(text, FILLER, attribute);
}

/* The forger chooses the revoked certificate, and its number. */
static void make_revocation_list(struct made *text)
{
	const size_t serial = 100 - 2 - sizeof(ecdsa_sha256) - 2 - 15 - 4 - 2 - 15;

	put_header(text, 0x30, 98);
	put(text, ecdsa_sha256, sizeof(ecdsa_sha256));
	put(text, no_name, sizeof(no_name));
	put(text, WITHOUT_NUL(now));
	put_header(text, 0x30, serial + 2 + 15 + 2);
	put_header(text, 0x30, serial + 2 + 15);
	put_header(text, 2, serial);
	fill(text, FILLER, serial);
	put(text, WITHOUT_NUL(now));
}

/* The nonce is the client's. */
static void make_ocsp_response(struct made *text)
{
	static const unsigned char nonce[] = {6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2};
	const size_t rest = 133 - 3 - 4 - 17 - 2 - 2 - 2 - sizeof(nonce) - 2 - 2;

	put_header(text, 0x30, 130);
	PUT(text, 0xa1, 2, 0x30, 0);
	PUT(text, 0x18, 15, '2', '0', '2', '6', '0', '1', '0', '1', '0', '0', '0', '0', '0', '0',
		'Z');
	PUT(text, 0x30, 0);
	put_header(text, 0xa1, rest + 2 + sizeof(nonce) + 2 + 2);
	put_header(text, 0x30, rest + 2 + sizeof(nonce) + 2);
	put_header(text, 0x30, rest + 2 + sizeof(nonce));
	put(text, nonce, sizeof(nonce));
	put_header(text, 4, rest);
	fill(text, FILLER, rest);
}

/* The attributes of S/MIME: the digest of a message, and one of the forger's. */
static void make_attributes(struct made *text)
{
	static const unsigned char digest[] = {
		0x30, 0x23, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4, 0x31, 0x16, 4, 0x14};
	const size_t rest = 133 - 3 - sizeof(digest) - 20 - 9;

	put_header(text, 0x31, 130);
	put(text, digest, sizeof(digest));
	fill(text, FILLER, 20);
	PUT(text, 0x30, (unsigned char)(rest + 7), 6, 1, 0x2a, 0x31, (unsigned char)(rest + 2), 4,
		(unsigned char)rest);
	fill(text, FILLER, rest);
}

/* A file, signed in a namespace of the forger's. */
static void make_ssh_file(struct made *text)
{
	const size_t name = 165 - 6 - 4 - 4 - 10 - 4 - 64;

	put(text, "SSHSIG", 6);
	PUT(text, 0, 0, 0, (unsigned char)name);
	fill(text, FILLER, name);
	PUT(text, 0, 0, 0, 0);
	PUT(text, 0, 0, 0, 6, 's', 'h', 'a', '5', '1', '2');
	PUT(text, 0, 0, 0, 64);
	fill(text, FILLER, 64);
}

static const struct {
	const char *name;
	void (*make)(struct made *text);
	int curve;
	size_t free_at; /* up to the end; 0: the end is not free */
} documents[] = {
	{"a certificate", make_short_certificate, P384, 0},
	{"a request", make_request, P256, 80},
	{"a revocation list", make_revocation_list, X25519, 0},
	{"an OCSP response", make_ocsp_response, P256, 80},
	{"signed attributes", make_attributes, P256, 80},
	{"a signed file of SSH", make_ssh_file, P384, 0},
};

static void test_no_other_document_is_signed(void **state)
{
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		const int curve = documents[i].curve;
		struct made text = {0};

		documents[i].make(&text);
		print_message("# %s of %zu bytes\n", documents[i].name, text.len);
		assert_int_equal(text.len, 68 + curves[curve].len);
		name_curve(&text, curve);
		put_mark(&text);
		if (documents[i].free_at)
			end_on_curve(&text, curve, documents[i].free_at);
		assert_int_not_equal(ask(KEY_TLS, &text), SIGNED);
		assert_int_not_equal(ask(KEY_DTLS, &text), SIGNED);
		/* With its field over all known bytes, and a point where it can have one, nothing is
		 * wrong with it as a handshake. The worker may be honest. */
		if (documents[i].free_at || curve == X25519)
			assert_int_equal(ask(KEY_TLS, &text), REFUSED);
		text.data[0] = FILLER; /* and so it is one, but for how it begins */
		if (documents[i].free_at || curve == X25519)
			assert_int_equal(ask(KEY_TLS, &text), SIGNED);
	}
}

/* BER has other ways to say how long something is. */
static void test_a_length_may_be_written_in_other_ways(void **state)
{
	static const unsigned char heads[][6] = {
		{0x30, 0x80}, {0x30, 0x81, 97}, {0x30, 0x84, 0, 0, 0, 94}, {0x31, 0x82, 0, 96}};
	static const size_t lens[] = {2, 3, 6, 4};

	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		struct made text = {0};
		const bool is_open = heads[i][1] == 0x80;

		put(&text, heads[i], lens[i]);
		put_header(&text, 4, 100 - lens[i] - 2 - (is_open ? 2 : 0));
		fill(&text, FILLER, 100 - text.len - (is_open ? 2 : 0));
		if (is_open)
			fill(&text, 0, 2);
		name_curve(&text, X25519);
		put_mark(&text);
		assert_int_equal(ask(KEY_TLS, &text), REFUSED);
	}
}

static void test_text_is_not_signed(void **state)
{
	static const char token[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJtZSJ9.";
	struct made text = {0};

	/* A JSON Web Token is letters: it has no zero at 65. */
	while (text.len + sizeof(token) - 1 <= 133)
		put(&text, WITHOUT_NUL(token));
	fill(&text, 'A', 133 - text.len);
	for (uint32_t key = KEY_TLS; key <= KEY_ED25519; key++)
		assert_int_equal(ask(key, &text), CUT);
}

/* The proof of a client that logs in by SSH: its session, and the name of a user of the forger's. The
 * shortest key makes it too long. */
static void test_no_login_by_ssh_is_signed(void **state)
{
	const size_t user = 165 - 143;
	struct made text = {0};

	PUT(&text, 0, 0, 0, 32);
	fill(&text, FILLER, 32);
	PUT(&text, 50, 0, 0, 0, (unsigned char)user);
	fill(&text, FILLER, user);
	PUT(&text, 0, 0, 0, 14);
	put(&text, "ssh-connection", 14);
	PUT(&text, 0, 0, 0, 9);
	put(&text, "publickey", 9);
	PUT(&text, 1, 0, 0, 0, 11);
	put(&text, "ssh-ed25519", 11);
	fill(&text, FILLER, 4 + 51);
	assert_int_equal(text.len, 165);
	for (uint32_t key = KEY_TLS; key <= KEY_ED25519; key++)
		assert_int_equal(ask(key, &text), CUT);
}

/* Honest randoms are hardly ever taken for another document. */
static void test_honest_handshakes_are_not_mistaken(void **state)
{
	struct made text;
	uint64_t random = 0x9e3779b97f4a7c15u;
	unsigned refused = 0;

	for (unsigned i = 0; i < 200000; i++) {
		if (i % 64 == 0)
			make_1_2(&text, X25519, true);
		for (size_t at = 0; at < 56; at++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			text.data[at] = (unsigned char)(random >> 56);
		}
		/* Only these cost a signature. */
		if (text.data[0] == 0x30 || text.data[0] == 0x31)
			refused += ask(KEY_ED25519, &text) != SIGNED;
	}
	assert_true(refused <= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshakes_are_signed),
		cmocka_unit_test(test_a_key_signs_what_its_listener_speaks),
		cmocka_unit_test(test_every_known_byte_is_held_to),
		cmocka_unit_test(test_the_length_is_that_of_the_curve),
		cmocka_unit_test(test_a_point_is_on_its_curve),
		cmocka_unit_test(test_the_certificate_that_was_signed_once_is_not),
		cmocka_unit_test(test_no_other_document_is_signed),
		cmocka_unit_test(test_a_length_may_be_written_in_other_ways),
		cmocka_unit_test(test_text_is_not_signed),
		cmocka_unit_test(test_no_login_by_ssh_is_signed),
		cmocka_unit_test(test_honest_handshakes_are_not_mistaken),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
