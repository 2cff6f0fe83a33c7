/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "client/options.h"
#include "client/tls_session.h"
#include "client/transport.h"

/* The longest name that a certificate's list is shown with. */
#define NAME_SHOWN 60

/* Faults of the server's certificate, with a hint. */
static const struct {
	long error;
	const char *words;
} distrusts[] = {
	{X509_V_ERR_CERT_HAS_EXPIRED, "has expired"},
	{X509_V_ERR_CERT_NOT_YET_VALID, "is not valid yet; is this machine's clock right?"},
	{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
		"is self-signed; --cafile with a copy of it trusts it"},
	{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
		"comes from an authority that is not trusted here; --cafile names others"},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
		"comes from an authority that is not trusted here; --cafile names others"},
	{X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
		"comes from an authority that is not trusted here, or its chain has a gap"},
	{X509_V_ERR_CERT_REVOKED, "has been revoked"},
	{X509_V_ERR_INVALID_PURPOSE, "is not one for servers"},
	{X509_V_ERR_CERT_CHAIN_TOO_LONG, "has too long a chain"},
	{X509_V_ERR_EE_KEY_TOO_SMALL, "has too weak a key"},
	{X509_V_ERR_CA_MD_TOO_WEAK, "is signed with too weak a digest"},
};

/* Failures of the handshake. */
static const struct {
	int reason;
	const char *words;
} failures[] = {
	{SSL_R_WRONG_VERSION_NUMBER, "the server does not speak TLS"},
	{SSL_R_UNEXPECTED_MESSAGE, "the server's answer is not TLS; is that the right port?"},
	{SSL_R_UNSUPPORTED_PROTOCOL, "the server speaks no version of TLS from 1.2 on"},
	{SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the server speaks none of our versions of TLS"},
	{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
		"the server finds no cipher in common, or refuses this client"},
	{SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
		"the server wants a certificate of ours; --cert and --key give it one"},
	{SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the server does not trust the issuer of our certificate"},
	{SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the server does not accept our certificate"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "the server says that our certificate has expired"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "the server says that our certificate is revoked"},
	{SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the server does not accept our certificate"},
	{SSL_R_TLSV1_ALERT_INTERNAL_ERROR, "the server reports an internal error"},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, "the server closed the connection in the handshake"},
};

/* Names in an untrusted certificate may contain terminal escapes. */
static int append_name(char *names, size_t size, const char *between, const ASN1_STRING *name)
{
	int len = ASN1_STRING_length(name);
	char shown[4 * NAME_SHOWN + 1];

	text_escape((const char *)ASN1_STRING_get0_data(name),
		len < NAME_SHOWN ? (size_t)len : NAME_SHOWN, shown, sizeof(shown));
	return snprintf(names, size, "%s%s", between, shown);
}

/* The DNS names in the certificate, as many as fit. */
static void list_names(const X509 *x509, char *names, size_t size)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	size_t len = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all) && len < size; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			len += (size_t)append_name(
				names + len, size - len, len > 0 ? ", " : "", name->d.dNSName);
	}
	GENERAL_NAMES_free(all);
}

/* The library frees the certificate when the handshake fails, so its names are copied now. */
static int tls_note(int is_fine, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_notes *notes = ssl ? SSL_get_app_data(ssl) : NULL;

	if (!is_fine && notes)
		list_names(X509_STORE_CTX_get0_cert(store), notes->names, sizeof(notes->names));
	return is_fine;
}

static int explain_certificate_name(const struct link *link, SSL *ssl, struct why *why)
{
	const struct options *options = link->server->options;
	const struct tls_notes *notes = SSL_get_app_data(ssl);
	const char *name = options->servername ? options->servername : link->server->url.host;

	if (*notes->names == '\0')
		return why_set(why, CLIENT_E_UNTRUSTED,
			"the server's certificate is not for %s: it has no subject alternative "
			"name "
			"of that kind, and its common name does not count",
			name);
	return why_set(why, CLIENT_E_UNTRUSTED,
		"the server's certificate is not for %s but for %s; --servername asks for another",
		name, notes->names);
}

static int explain_distrust(const struct link *link, SSL *ssl, struct why *why, long error)
{
	if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return explain_certificate_name(link, ssl, why);
	for (size_t i = 0; i < sizeof(distrusts) / sizeof(*distrusts); i++)
		if (distrusts[i].error == error)
			return why_set(why, CLIENT_E_UNTRUSTED, "the server's certificate %s",
				distrusts[i].words);
	return why_set(why, CLIENT_E_UNTRUSTED, "the server's certificate is not trusted: %s",
		X509_verify_cert_error_string(error));
}

/* Before TLS 1.3 there is no alert for a missing client certificate. */
static int reason_of(const SSL *ssl, unsigned long error)
{
	const struct tls_notes *notes = SSL_get_app_data(ssl);
	int reason = ERR_GET_REASON(error);

	return reason == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE && notes->is_asked &&
			!SSL_get_certificate(ssl)
		? SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED
		: reason;
}

int tls_explain(const struct link *link, SSL *ssl, struct why *why)
{
	unsigned long error = ERR_peek_error();
	long distrust = SSL_get_verify_result(ssl);
	int reason = reason_of(ssl, error);

	ERR_clear_error();
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && distrust != X509_V_OK)
		return explain_distrust(link, ssl, why, distrust);
	if (error == 0 || ERR_SYSTEM_ERROR(error))
		return why_set(
			why, CLIENT_E_TLS, "the server closed the connection in the handshake");
	for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++)
		if (failures[i].reason == reason)
			return why_set(why, CLIENT_E_TLS, "%s", failures[i].words);
	return why_set(why, CLIENT_E_TLS, "the TLS handshake failed: %s",
		ERR_reason_error_string(error) ? ERR_reason_error_string(error)
					       : "no reason known");
}

static void ctx_freep(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

static void ssl_freep(SSL **ssl)
{
	SSL_free(*ssl);
}

/* The file cannot be read, or `lack` is missing from it. */
static int explain_file(struct why *why, const char *file, const char *lack)
{
	return why_set(why, CLIENT_E_USAGE, "%s: %s", file,
		access(file, R_OK) < 0 ? strerror(errno) : lack);
}

/* A fault in one of our own files is a mistake on the command line. */
static int load_files(SSL_CTX *ctx, const struct options *options, struct why *why)
{
	const char *key = options->key ? options->key : options->cert;

	if (options->key && !options->cert)
		return why_set(why, CLIENT_E_USAGE, "--key needs --cert too");
	if (options->cafile && SSL_CTX_load_verify_file(ctx, options->cafile) != 1)
		return explain_file(why, options->cafile, "no certificates in PEM form");
	if (!options->cafile)
		SSL_CTX_set_default_verify_paths(ctx);
	if (!options->cert)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, options->cert) != 1)
		return explain_file(why, options->cert, "no certificate in PEM form");
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return explain_file(why, key, "no key in PEM form that goes with the certificate");
	return 0;
}

/* The secrets of our sessions, for tools such as Wireshark, when the user has asked for them. Each line is
 * one write, so that several programs may share the file. */
static void log_key(const SSL *ssl, const char *line)
{
	static int fd = -1;
	const char *path = getenv("SSLKEYLOGFILE");
	struct iovec parts[] = {
		{(void *)(uintptr_t)line, strlen(line)}, {(void *)(uintptr_t) "\n", 1}};

	if (fd < 0 && path && *path)
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd >= 0 && writev(fd, parts, 2) < 0)
		return; /* a full disk must not end a session */
}

/* All links to one server share a context, and the last session that it gave a ticket for. */
struct tls_shared {
	SSL_CTX *ctx;
	SSL_SESSION *session;
};

/* Takes ownership of `session` when it returns 1. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_shared *shared = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(shared->session);
	shared->session = session;
	return 1;
}

static int make_ctx(
	struct server *server, const struct tls_kind *kind, SSL_CTX **ret_ctx, struct why *why)
{
	__attribute__((cleanup(ctx_freep))) SSL_CTX *ctx = SSL_CTX_new(kind->method());
	const struct options *options = server->options;
	const char *keys = getenv("SSLKEYLOGFILE");
	int r;

	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ctx, kind->min_version);
	if (kind->ciphers && SSL_CTX_set_cipher_list(ctx, kind->ciphers) != 1)
		return -ENOMEM;
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx, options->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
		options->insecure ? NULL : tls_note);
	if (server->resumes) {
		SSL_CTX_set_session_cache_mode(
			ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, keep_session);
	}
	if (keys && *keys)
		SSL_CTX_set_keylog_callback(ctx, log_key);
	r = load_files(ctx, options, why);
	if (r)
		return r;
	*ret_ctx = ctx;
	ctx = NULL;
	return 0;
}

static int share_ctx(struct server *server, const struct tls_kind *kind, struct why *why)
{
	struct tls_shared *shared = server->tls;
	int r;

	if (shared)
		return 0;
	shared = calloc(1, sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	r = make_ctx(server, kind, &shared->ctx, why);
	if (r) {
		free(shared);
		return r;
	}
	SSL_CTX_set_app_data(shared->ctx, shared);
	server->tls = shared;
	return 0;
}

void tls_forget(struct server *server)
{
	struct tls_shared *shared = server->tls;

	if (!shared)
		return;
	SSL_SESSION_free(shared->session);
	SSL_CTX_free(shared->ctx);
	free(shared);
	server->tls = NULL;
}

/* The server asks for a client certificate. Its request need not name an authority. */
static int note_request(SSL *ssl, void *notes)
{
	((struct tls_notes *)notes)->is_asked = true;
	return 1;
}

/* An address is compared with addresses in the certificate, and is no name to ask for. */
static int set_name(SSL *ssl, const struct link *link, struct why *why)
{
	const struct options *options = link->server->options;
	const char *name = options->servername ? options->servername : link->server->url.host;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return 0;
	if (strlen(name) > TLSEXT_MAXLEN_host_name)
		return why_set(why, CLIENT_E_USAGE, "a server's name has at most %d characters",
			TLSEXT_MAXLEN_host_name);
	/* The common name is no name of a server (RFC 9525, 2). */
	SSL_set_hostflags(
		ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	if (SSL_set_tlsext_host_name(ssl, (void *)(uintptr_t)name) != 1 ||
		SSL_set1_host(ssl, name) != 1)
		return -ENOMEM;
	return 0;
}

/* The library gives a session up after one use; a copy keeps it for the next link. */
static int set_session(SSL *ssl, const struct tls_shared *shared)
{
	SSL_SESSION *session;

	if (!shared->session)
		return 0;
	session = SSL_SESSION_dup(shared->session);
	if (!session)
		return -ENOMEM;
	SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	return 0;
}

int tls_session_start(struct link *link, const struct tls_kind *kind, struct why *why)
{
	uint64_t timeout_ms = link->server->options->timeout_ms;
	__attribute__((cleanup(ssl_freep))) SSL *ssl = NULL;
	_cleanup_free_ struct tls_notes *notes = calloc(1, sizeof(*notes));
	const struct tls_shared *shared;
	int r;

	r = share_ctx(link->server, kind, why);
	if (r)
		return r;
	shared = link->server->tls;
	ssl = SSL_new(shared->ctx);
	if (!notes || !ssl || kind->attach(link, ssl) < 0)
		return -ENOMEM;
	r = set_name(ssl, link, why);
	if (r)
		return r;
	r = set_session(ssl, shared);
	if (r)
		return r;
	notes->tries = 1;
	SSL_set_app_data(ssl, notes);
	SSL_set_cert_cb(ssl, note_request, notes);
	link->opening = take_ptr(&notes);
	link->session = take_ptr(&ssl);
	link->stage = LINK_SHAKING;
	link->deadline_ms = timeout_ms ? clock_ms() + timeout_ms : 0;
	return 0;
}

void tls_session_settle(struct link *link)
{
	link->is_resumed = SSL_session_reused(link->session);
	SSL_set_app_data(link->session, NULL);
	SSL_set_cert_cb(link->session, NULL, NULL);
	free(link->opening);
	link->opening = NULL;
}

void tls_session_close(struct link *link)
{
	if (link->stage == LINK_SHAKING) {
		free(link->opening);
		link->opening = NULL;
	}
	SSL_free(link->session);
	link->session = NULL;
}

/* The chain is as good as its first certificate to expire. */
static int64_t chain_expires(SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int64_t first = INT64_MAX;

	for (int i = 0; epoch && i < sk_X509_num(chain); i++) {
		const ASN1_TIME *end = X509_get0_notAfter(sk_X509_value(chain, i));
		int days, seconds;

		if (ASN1_TIME_diff(&days, &seconds, epoch, end) == 1) {
			int64_t then = (int64_t)days * 86400 + seconds;

			first = then < first ? then : first;
		}
	}
	ASN1_TIME_free(epoch);
	return first == INT64_MAX ? 0 : first;
}

static void describe_certificate(SSL *ssl, struct session_facts *facts)
{
	X509 *x509 = SSL_get0_peer_certificate(ssl);
	uint8_t *key = NULL, digest[32];
	int len;

	if (!x509)
		return;
	list_names(x509, facts->names, sizeof(facts->names));
	facts->expires = chain_expires(ssl);
	len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &key);
	if (len > 0 && EVP_Digest(key, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1)
		for (size_t i = 0; i < sizeof(digest); i++)
			snprintf(facts->fingerprint + 2 * i, 3, "%02x", digest[i]);
	OPENSSL_free(key);
}

void tls_describe(const struct link *link, struct session_facts *ret_facts)
{
	SSL *ssl = link->session;
	long distrust = SSL_get_verify_result(ssl);
	const char *group = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));

	*ret_facts = (struct session_facts){
		.is_resumed = SSL_session_reused(ssl),
		.is_trusted = distrust == X509_V_OK,
	};
	snprintf(ret_facts->version, sizeof(ret_facts->version), "%s", SSL_get_version(ssl));
	snprintf(ret_facts->cipher, sizeof(ret_facts->cipher), "%s", SSL_get_cipher_name(ssl));
	snprintf(ret_facts->group, sizeof(ret_facts->group), "%s", group ? group : "");
	if (distrust != X509_V_OK)
		snprintf(ret_facts->distrust, sizeof(ret_facts->distrust), "%s",
			X509_verify_cert_error_string(distrust));
	describe_certificate(ssl, ret_facts);
}

short tls_wants(const SSL *ssl, int r)
{
	switch (SSL_get_error(ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	default:
		return 0;
	}
}
