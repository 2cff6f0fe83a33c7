/* SPDX-License-Identifier: Apache-2.0 */

/* The table of keys: one row each, by scope. A new key is a row here, a field in conf.h and a paragraph in
 * upperd.conf(5); parsing, defaults, --set, --dump and suggestions follow.
 *
 * A key with a dot, "limits.connections", stands in a group; rows of one group stand together, since --dump opens
 * and closes groups as it meets them. A row says where its field lies, and FIELD() holds the type of the row
 * against that of the field, so that a mismatch does not compile. A default that its own range refuses
 * stops every load by an assertion.
 *
 * Must hold no code for a single key: rules between keys are in check.c and resolve.c. */

#include "conf/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "conf/conf.h"

/* The features that this build has; tests have all. */
#ifndef CONF_HAS
#define CONF_HAS (HAVE_TLS ? NEEDS_TLS : 0u)
#endif

#define SECONDS 1000ull
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)
#define PATH    4095

/* The type of a row is held against that of its field: a field of another type does not compile. */
#define C_TYPE_BOOL         bool
#define C_TYPE_NUMBER       unsigned
#define C_TYPE_PORT         uint16_t
#define C_TYPE_COUNT        uint64_t
#define C_TYPE_SIZE         size_t
#define C_TYPE_TIME         uint64_t
#define C_TYPE_RATIO        double
#define C_TYPE_SAMPLE       unsigned
#define C_TYPE_MODE         mode_t
#define C_TYPE_WORD         unsigned
#define C_TYPE_STRING       char *
#define C_TYPE_STRINGS      char **
#define C_TYPE_CLIENT_NAMES char **
#define C_TYPE_ADDRESS      struct addr
#define C_TYPE_PREFIXES     struct conf_prefixes
#define C_TYPE_CERTIFICATES struct conf_certificate *
#define C_TYPE_TLS          struct conf_tls
#define C_TYPE_LISTENERS    struct conf_listener *
#define IS_OF(type, field)                                                                      \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((SCOPE *)0)->field), C_##type), \
		"the field is of another type than the row")
#define FIELD(type, field)                                 \
	type, offsetof(SCOPE, field) + 0 * sizeof(struct { \
		IS_OF(type, field);                        \
		int unused;                                \
	})

// clang-format off
const struct conf_word conf_transports[] = {
	[CONF_UDP]  = {"udp"},
	[CONF_TCP]  = {"tcp"},
	[CONF_TLS]  = {"tls", NEEDS_TLS},
	[CONF_DTLS] = {"dtls", NEEDS_TLS},
	{}
};
static const struct conf_word conf_services[] = {
#define SERVICE(name) [SERVICE_##name] = {#name},
	SERVICES(SERVICE)
#undef SERVICE
	{}
};
static const struct conf_word conf_framings[] = {
	[UPPER_STREAM]  = {"stream"},
	[UPPER_LINE]    = {"line"},
	[UPPER_ONESHOT] = {"oneshot"},
	{}
};
static const struct conf_word charsets[] = {
	[UPPER_UTF8]  = {"utf-8"},
	[UPPER_ASCII] = {"ascii"},
	{}
};
static const struct conf_word invalids[] = {
	[UPPER_KEEP]    = {"keep"},
	[UPPER_REPLACE] = {"replace"},
	[UPPER_REJECT]  = {"reject"},
	{}
};
static const struct conf_word sandboxes[] = {
	[CONF_SANDBOX_REQUIRED]    = {"required"},
	[CONF_SANDBOX_STRICT]      = {"strict"},
	[CONF_SANDBOX_BEST_EFFORT] = {"best-effort"},
	[CONF_SANDBOX_OFF]         = {"off"},
	{}
};
static const struct conf_word log_targets[] = {
	[CONF_LOG_AUTO]    = {"auto"},
	[CONF_LOG_JOURNAL] = {"journal"},
	[CONF_LOG_SYSLOG]  = {"syslog"},
	[CONF_LOG_STDERR]  = {"stderr"},
	{}
};
static const struct conf_word log_formats[] = {
	[CONF_LOG_TEXT] = {"text"},
	[CONF_LOG_JSON] = {"json"},
	{}
};
static const struct conf_word log_levels[] = {
	[LOG_LEVEL_ERROR]   = {"error"},
	[LOG_LEVEL_WARNING] = {"warning"},
	[LOG_LEVEL_NOTICE]  = {"notice"},
	[LOG_LEVEL_INFO]    = {"info"},
	[LOG_LEVEL_DEBUG]   = {"debug"},
	{}
};
static const struct conf_word proxies[] = {
	[CONF_PROXY_OFF]      = {"off"},
	[CONF_PROXY_OPTIONAL] = {"optional"},
	[CONF_PROXY_REQUIRED] = {"required"},
	{}
};
static const struct conf_word client_auths[] = {
	[CONF_CLIENT_NONE]     = {"none"},
	[CONF_CLIENT_OPTIONAL] = {"optional"},
	[CONF_CLIENT_REQUIRED] = {"required"},
	{}
};
static const struct conf_word tls_versions[] = {
	[CONF_TLS_1_2] = {"1.2"},
	[CONF_TLS_1_3] = {"1.3"},
	{}
};

#define SCOPE struct conf
static const struct conf_row top_rows[] = {
	{"user", FIELD(TYPE_STRING, user), "\"" UPPERD_USER "\"", 1, 32, 0, NULL,
		"The user that the workers become when upperd was started as root."},
	{"group", FIELD(TYPE_STRING, group), "\"" UPPERD_USER "\"", 1, 32, 0, NULL,
		"Their group."},
	{"workers", FIELD(TYPE_NUMBER, workers), "0", 0, 256, 0, NULL,
		"How many worker processes serve."},
	{"drain", FIELD(TYPE_TIME, drain_ms), "\"30s\"", 0, 24 * HOURS, 0, NULL,
		"How long open connections may take to finish after a reload or a stop."},
	{"sandbox", FIELD(TYPE_WORD, sandbox), "\"required\"", 0, 0, 0, sandboxes,
		"The answer to a layer of the sandbox that cannot be had."},

	{"log.target", FIELD(TYPE_WORD, log.target), "\"auto\"", 0, 0, 0, log_targets,
		"Where records go."},
	{"log.format", FIELD(TYPE_WORD, log.format), "\"text\"", 0, 0, 0, log_formats,
		"How a record looks on stderr."},
	{"log.level", FIELD(TYPE_WORD, log.level), "\"info\"", 0, 0, 0, log_levels,
		"The least important records that are written."},
	{"log.access", FIELD(TYPE_SAMPLE, log.access), "false", 1, 1000000, 0, NULL,
		"One record per connection, and one a minute per datagram listener."},

	{"control.path", FIELD(TYPE_STRING, control_path), "\"" UPPERD_RUNDIR "/upperd/control\"",
		1, 107, 0, NULL,
		"The socket that upperctl talks to."},
	{"control.group", FIELD(TYPE_STRING, control_group), NULL, 1, 32, 0, NULL,
		"A group whose members may ask it how things are, and change nothing."},

	{"metrics.address", FIELD(TYPE_ADDRESS, metrics.address), NULL, 1, 64, 0, NULL,
		"Where counters are served over HTTP; needs a port."},
	{"metrics.port", FIELD(TYPE_PORT, metrics.port), NULL, 1, 65535, 0, NULL,
		"The port for it."},
	{"metrics.path", FIELD(TYPE_STRING, metrics.path), NULL, 1, 107, 0, NULL,
		"A unix socket instead of an address and a port."},
	{"metrics.hosts", FIELD(TYPE_STRINGS, metrics.hosts), "[]", 0, 16, 0, NULL,
		"Further names under which a browser or Prometheus may ask for it."},

	{"limits.connections", FIELD(TYPE_COUNT, limits.connections), "0", 0, 10000000, 0, NULL,
		"How many connections may be open at once."},
	{"limits.per_client", FIELD(TYPE_COUNT, limits.per_client), "64", 1, 10000000, 0, NULL,
		"How many of them one client may have, a client being a /32 or a /64."},
	{"limits.handshakes", FIELD(TYPE_COUNT, limits.handshakes), "256", 1, 1000000, 0, NULL,
		"How many TLS handshakes a worker has in flight."},
	{"limits.datagrams", FIELD(TYPE_COUNT, limits.datagrams), "200", 1, 10000000, 0, NULL,
		"How many datagrams a client is answered per second."},
	{"limits.unchanged", FIELD(TYPE_COUNT, limits.unchanged), "50", 1, 10000000, 0, NULL,
		"How many of those may have a reply that equals the request."},
	{"limits.exempt", FIELD(TYPE_PREFIXES, limits.exempt),
		"[\"127.0.0.0/8\", \"::1/128\"]", 0, 256, 0, NULL,
		"Prefixes that the limits per client pass over."},
	{"limits.dry_run", FIELD(TYPE_BOOL, limits.dry_run), "false", 0, 0, 0, NULL,
		"Count and log what the limits would do, and do nothing."},

	{"tls", FIELD(TYPE_TLS, tls), NULL, 0, 0, NEEDS_TLS, NULL,
		"Defaults for the tls groups of listeners."},
	{"listeners", FIELD(TYPE_LISTENERS, listeners),
		NULL, 1, CONF_MAX_LISTENERS, REQUIRED, NULL,
		"A list of groups, one for each socket."},
};
#undef SCOPE

#define SCOPE struct conf_listener
static const struct conf_row listener_rows[] = {
	{"name", FIELD(TYPE_STRING, name), NULL, 1, 64, 0, NULL,
		"Its name in logs, in counters and in the socket unit."},
	{"transport", FIELD(TYPE_WORD, transport), NULL, 0, 0, REQUIRED, conf_transports,
		"The protocol that it speaks."},
	{"address", FIELD(TYPE_ADDRESS, address), "\"::\"", 1, 64, ON_ALL | ON_PORT, NULL,
		"A literal address, never a name."},
	{"port", FIELD(TYPE_PORT, port), NULL, 1, 65535, ON_ALL | ON_PORT, NULL,
		"Its port."},
	{"path", FIELD(TYPE_STRING, path), NULL, 1, 107, ON_STREAMS, NULL,
		"A unix stream socket instead of an address and a port."},
	{"v6only", FIELD(TYPE_BOOL, v6only), "false", 0, 0, ON_ALL | ON_PORT, NULL,
		"Serve IPv6 alone."},
	{"interface", FIELD(TYPE_STRING, interface), NULL, 1, 15, ON_ALL | ON_PORT, NULL,
		"Serve only what comes in by this device."},
	{"mode", FIELD(TYPE_MODE, mode), "\"0660\"", 0, 0777, ON_STREAMS | ON_FILE, NULL,
		"Permissions of the path, in octal."},
	{"owner", FIELD(TYPE_STRING, owner), NULL, 1, 32, ON_STREAMS | ON_FILE, NULL,
		"The user who owns the path."},
	{"group", FIELD(TYPE_STRING, group), NULL, 1, 32, ON_STREAMS | ON_FILE, NULL,
		"The group of the path."},
	{"backlog", FIELD(TYPE_NUMBER, backlog), "4096", 1, 65535, ON_STREAMS, NULL,
		"How many connections the kernel queues until they are accepted."},
	{"connections", FIELD(TYPE_COUNT, connections),
		"0", 0, 10000000, ON_STREAMS | ON_DTLS, NULL,
		"How many connections it may have open at once."},

	{"service", FIELD(TYPE_WORD, service), "\"uppercase\"", 0, 0, 0, conf_services,
		"The answer to a message."},
	{"charset", FIELD(TYPE_WORD, rule.charset), "\"utf-8\"", 0, 0, 0, charsets,
		"The bytes that count as letters."},
	{"invalid", FIELD(TYPE_WORD, rule.invalid), "\"keep\"", 0, 0, 0, invalids,
		"The treatment of bytes that are not UTF-8."},
	{"framing", FIELD(TYPE_WORD, frame.framing),
		"\"stream\"", 0, 0, ON_STREAMS, conf_framings,
		"Where a message ends."},
	{"max_line", FIELD(TYPE_SIZE, frame.max_line), "65536", 1, 1 << 20, ON_STREAMS, NULL,
		"The longest line, in bytes before its LF."},
	{"amplification", FIELD(TYPE_RATIO, amplification), "3.0", 1, 1000, ON_DATAGRAMS, NULL,
		"The longest reply, as a multiple of the request."},

	{"idle_timeout", FIELD(TYPE_TIME, idle_ms),
		"\"15m\"", 10, 24 * HOURS, ON_STREAMS | ON_DTLS, NULL,
		"A connection ends after this long without a byte either way."},
	{"handshake_timeout", FIELD(TYPE_TIME, handshake_ms),
		"\"10s\"", 10, HOURS, ON_STREAMS | ON_DTLS, NULL,
		"How long the TLS handshake and the PROXY header may take."},
	{"write_timeout", FIELD(TYPE_TIME, write_ms), "\"10s\"", 10, HOURS, ON_STREAMS, NULL,
		"How long a client may take nothing of what is waiting for it."},

	{"proxy_protocol", FIELD(TYPE_WORD, proxy_protocol),
		"\"off\"", 0, 0, ON_STREAMS | ON_UDP, proxies,
		"Whether connections begin with a PROXY header, version 1 or 2."},
	{"proxy_from", FIELD(TYPE_PREFIXES, proxy_from), "[]", 0, 256, ON_STREAMS | ON_UDP, NULL,
		"Prefixes of the proxies that are believed."},

	{"tls", FIELD(TYPE_TLS, tls), NULL, 0, 0, ON_RECORDS | NEEDS_TLS, NULL,
		"Keys of the tls group, over those of the top."},
};
#undef SCOPE

#define SCOPE struct conf_tls
static const struct conf_row tls_rows[] = {
	{"certificates", FIELD(TYPE_CERTIFICATES, certificates), NULL, 1, 64, 0, NULL,
		"A list of groups, the first of which is the default."},
	{"min_version", FIELD(TYPE_WORD, min_version), "\"1.2\"", 0, 0, 0, tls_versions,
		"The oldest version of TLS or DTLS that is spoken."},
	{"ciphers", FIELD(TYPE_STRING, ciphers), NULL, 1, 4096, 0, NULL,
		"Ciphers for TLS 1.2, as OpenSSL lists them."},
	{"ciphersuites", FIELD(TYPE_STRING, ciphersuites), NULL, 1, 4096, 0, NULL,
		"Cipher suites for TLS 1.3."},
	{"groups", FIELD(TYPE_STRING, groups), NULL, 1, 4096, 0, NULL,
		"Groups for the key exchange, best first."},
	{"alpn", FIELD(TYPE_STRINGS, alpn), "[]", 0, 16, 0, NULL,
		"Protocols to agree on by ALPN, best first."},
	{"client_auth", FIELD(TYPE_WORD, client_auth), "\"none\"", 0, 0, 0, client_auths,
		"Whether clients show a certificate."},
	{"client_ca", FIELD(TYPE_STRING, client_ca), NULL, 1, PATH, 0, NULL,
		"A PEM file with the authorities that may have signed it."},
	{"client_names", FIELD(TYPE_CLIENT_NAMES, client_names), "[]", 0, 256, 0, NULL,
		"The names that let a client in: one of its certificate has to be among them."},
	{"crl", FIELD(TYPE_STRING, crl), NULL, 1, PATH, 0, NULL,
		"A PEM file with their revocation lists, one of every authority in a client's "
		"chain."},
	{"mtu", FIELD(TYPE_SIZE, mtu), "1232", 256, 4096, 0, NULL,
		"The longest datagram of a DTLS handshake."},
	{"tickets", FIELD(TYPE_BOOL, tickets), "true", 0, 0, 0, NULL,
		"Whether sessions are resumed by tickets."},
	{"ticket_lifetime", FIELD(TYPE_TIME, ticket_lifetime_ms),
		"\"12h\"", MINUTES, 168 * HOURS, 0, NULL,
		"How long a ticket key signs before the next one takes over."},
	{"ticket_keys", FIELD(TYPE_STRING, ticket_keys), NULL, 1, PATH, 0, NULL,
		"A file of ticket keys that several machines share."},
};
#undef SCOPE

#define SCOPE struct conf_certificate
static const struct conf_row certificate_rows[] = {
	{"certificate", FIELD(TYPE_STRING, certificate), NULL, 1, PATH, REQUIRED, NULL,
		"A PEM file with the certificate, and then its chain."},
	{"key", FIELD(TYPE_STRING, key), NULL, 1, PATH, REQUIRED, NULL,
		"A PEM file with its private key."},
	{"ocsp", FIELD(TYPE_STRING, ocsp), NULL, 1, PATH, 0, NULL,
		"A DER file with an OCSP response to staple."},
};
#undef SCOPE
// clang-format on

#define ROWS(rows)                                   \
	{                                            \
		rows, sizeof(rows) / sizeof(*(rows)) \
	}
const struct conf_schema conf_schemas[N_SCOPES] = {
	[SCOPE_TOP] = ROWS(top_rows),
	[SCOPE_LISTENER] = ROWS(listener_rows),
	[SCOPE_TLS] = ROWS(tls_rows),
	[SCOPE_CERTIFICATE] = ROWS(certificate_rows),
};

const struct conf_row *conf_schema_find(enum conf_scope scope, const char *key)
{
	const struct conf_schema *schema = &conf_schemas[scope];

	for (size_t i = 0; i < schema->n; i++)
		if (strcmp(schema->rows[i].key, key) == 0)
			return &schema->rows[i];
	return NULL;
}

/* The rest of a key behind its `group`, or NULL when the key is elsewhere. */
static const char *within(const char *key, const char *group)
{
	size_t len = strlen(group);

	return strncmp(key, group, len) == 0 ? key + len : NULL;
}

bool conf_schema_is_group(enum conf_scope scope, const char *key)
{
	const struct conf_schema *schema = &conf_schemas[scope];

	for (size_t i = 0; i < schema->n; i++) {
		const char *rest = within(schema->rows[i].key, key);

		if (rest && *rest == '.')
			return true;
	}
	return false;
}

bool conf_schema_suggest(
	enum conf_scope scope, const char *group, const char *name, char ret_name[static CONF_NAME])
{
	const struct conf_schema *schema = &conf_schemas[scope];
	char names[64][CONF_NAME];
	const char *candidates[64], *nearest;
	size_t n = 0;

	for (size_t i = 0; i < schema->n && n < 64; i++) {
		const char *rest = within(schema->rows[i].key, group);

		if (!rest)
			continue;
		snprintf(names[n], CONF_NAME, "%.*s", (int)strcspn(rest, "."), rest);
		candidates[n] = names[n];
		n++;
	}

	nearest = text_nearest(name, candidates, n);
	if (nearest)
		snprintf(ret_name, CONF_NAME, "%s", nearest);
	return nearest;
}

const char *conf_schema_lacks(unsigned flags)
{
	unsigned lacks = flags & NEEDS_ALL & ~CONF_HAS;

	if (lacks & NEEDS_TLS)
		return "not supported by this build (it was made without TLS)";
	return NULL;
}

const char *conf_transport_name(enum conf_transport transport)
{
	return conf_transports[transport].word;
}
