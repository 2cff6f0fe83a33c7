/* SPDX-License-Identifier: Apache-2.0 */

/* The table of keys. A new key is a row here, a field in conf.h and a paragraph in upperd.conf(5);
 * parsing, defaults, --set, --dump and suggestions follow. Must hold no code for a single key. */

#include "conf/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "conf/conf.h"

/* What of NEEDS_ALL this build has; tests have it all. */
#ifndef CONF_HAS
#define CONF_HAS (HAVE_TLS ? NEEDS_TLS : 0u)
#endif

#define SECONDS 1000ull
#define MINUTES (60 * SECONDS)
#define HOURS   (60 * MINUTES)
#define PATH    4095

// clang-format off
const struct conf_word conf_transports[] = {
	[CONF_UDP]  = {"udp"},
	[CONF_TCP]  = {"tcp"},
	[CONF_TLS]  = {"tls", NEEDS_TLS},
	[CONF_DTLS] = {"dtls", NEEDS_TLS},
	{}
};
const struct conf_word conf_services[] = {
#define SERVICE(name) [SERVICE_##name] = {#name},
	SERVICES(SERVICE)
#undef SERVICE
	{}
};
const struct conf_word conf_framings[] = {
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

#define AT(field) offsetof(struct conf, field)
static const struct conf_row top_rows[] = {
	{"user", TYPE_STRING, "\"" UPPERD_USER "\"", 1, 32, 0, AT(user), NULL,
		"The user that the workers become when upperd was started as root."},
	{"group", TYPE_STRING, "\"" UPPERD_USER "\"", 1, 32, 0, AT(group), NULL,
		"Their group."},
	{"workers", TYPE_NUMBER, "0", 0, 256, 0, AT(workers), NULL,
		"How many worker processes serve."},
	{"drain", TYPE_TIME, "\"30s\"", 0, 24 * HOURS, 0, AT(drain_ms), NULL,
		"How long open connections may take to finish after a reload or a stop."},
	{"sandbox", TYPE_WORD, "\"required\"", 0, 0, 0, AT(sandbox), sandboxes,
		"What to do about a layer of the sandbox that cannot be had."},

	{"log.target", TYPE_WORD, "\"auto\"", 0, 0, 0, AT(log.target), log_targets,
		"Where records go."},
	{"log.format", TYPE_WORD, "\"text\"", 0, 0, 0, AT(log.format), log_formats,
		"How a record looks on stderr."},
	{"log.level", TYPE_WORD, "\"info\"", 0, 0, 0, AT(log.level), log_levels,
		"The least important records that are written."},
	{"log.access", TYPE_BOOL, "false", 0, 0, 0, AT(log.access), NULL,
		"One record per connection, and one a minute per datagram listener."},

	{"control.path", TYPE_STRING, "\"" UPPERD_RUNDIR "/upperd/control\"", 1, 107, 0,
		AT(control_path), NULL,
		"The socket that upperctl talks to."},

	{"metrics.address", TYPE_ADDRESS, NULL, 1, 64, 0, AT(metrics.address), NULL,
		"Where counters are served over HTTP; needs a port."},
	{"metrics.port", TYPE_PORT, NULL, 1, 65535, 0, AT(metrics.port), NULL,
		"The port for it."},
	{"metrics.path", TYPE_STRING, NULL, 1, 107, 0, AT(metrics.path), NULL,
		"A unix socket instead of an address and a port."},

	{"limits.connections", TYPE_COUNT, "0", 0, 10000000, 0, AT(limits.connections), NULL,
		"How many connections may be open at once."},
	{"limits.per_client", TYPE_COUNT, "64", 1, 10000000, 0,
		AT(limits.per_client), NULL,
		"How many of them one client may have, a client being a /32 or a /64."},
	{"limits.handshakes", TYPE_COUNT, "256", 1, 1000000, 0,
		AT(limits.handshakes), NULL,
		"How many TLS handshakes a worker has in flight."},
	{"limits.datagrams", TYPE_COUNT, "200", 1, 10000000, 0,
		AT(limits.datagrams), NULL,
		"How many datagrams a client is answered per second."},
	{"limits.unchanged", TYPE_COUNT, "50", 1, 10000000, 0, AT(limits.unchanged), NULL,
		"How many of those may have a reply that equals the request."},
	{"limits.exempt", TYPE_PREFIXES, "[\"127.0.0.0/8\", \"::1/128\"]", 0, 256, 0,
		AT(limits.exempt), NULL,
		"Prefixes that the limits per client pass over."},
	{"limits.dry_run", TYPE_BOOL, "false", 0, 0, 0, AT(limits.dry_run), NULL,
		"Count and log what the limits would do, and do nothing."},

	{"tls", TYPE_TLS, NULL, 0, 0, NEEDS_TLS, AT(tls), NULL,
		"Defaults for the tls groups of listeners."},
	{"listeners", TYPE_LISTENERS, NULL, 1, CONF_MAX_LISTENERS, REQUIRED, AT(listeners), NULL,
		"A list of groups, one for each socket."},
};
#undef AT

#define AT(field) offsetof(struct conf_listener, field)
static const struct conf_row listener_rows[] = {
	{"name", TYPE_STRING, NULL, 1, 64, 0, AT(name), NULL,
		"What logs, counters and the socket unit call it."},
	{"transport", TYPE_WORD, NULL, 0, 0, REQUIRED, AT(transport), conf_transports,
		"What it speaks."},
	{"address", TYPE_ADDRESS, "\"::\"", 1, 64, ON_ALL | ON_PORT, AT(address), NULL,
		"A literal address, never a name."},
	{"port", TYPE_PORT, NULL, 1, 65535, ON_ALL | ON_PORT, AT(port), NULL,
		"Its port."},
	{"path", TYPE_STRING, NULL, 1, 107, ON_STREAMS, AT(path), NULL,
		"A unix stream socket instead of an address and a port."},
	{"v6only", TYPE_BOOL, "false", 0, 0, ON_ALL | ON_PORT, AT(v6only), NULL,
		"Serve IPv6 alone."},
	{"interface", TYPE_STRING, NULL, 1, 15, ON_ALL | ON_PORT, AT(interface), NULL,
		"Serve only what comes in by this device."},
	{"mode", TYPE_MODE, "\"0660\"", 0, 0777, ON_STREAMS | ON_FILE, AT(mode), NULL,
		"Permissions of the path, in octal."},
	{"owner", TYPE_STRING, NULL, 1, 32, ON_STREAMS | ON_FILE, AT(owner), NULL,
		"The user who owns the path."},
	{"group", TYPE_STRING, NULL, 1, 32, ON_STREAMS | ON_FILE, AT(group), NULL,
		"The group of the path."},
	{"backlog", TYPE_NUMBER, "4096", 1, 65535, ON_STREAMS, AT(backlog), NULL,
		"How many connections the kernel queues until they are accepted."},
	{"connections", TYPE_COUNT, "0", 0, 10000000, ON_STREAMS | ON_DTLS, AT(connections), NULL,
		"How many connections it may have open at once."},

	{"service", TYPE_WORD, "\"uppercase\"", 0, 0, 0, AT(service), conf_services,
		"What the answer is."},
	{"charset", TYPE_WORD, "\"utf-8\"", 0, 0, 0, AT(rule.charset), charsets,
		"What counts as a letter."},
	{"invalid", TYPE_WORD, "\"keep\"", 0, 0, 0, AT(rule.invalid), invalids,
		"What becomes of bytes that are not UTF-8."},
	{"framing", TYPE_WORD, "\"stream\"", 0, 0, ON_STREAMS, AT(frame.framing), conf_framings,
		"Where a message ends."},
	{"max_line", TYPE_SIZE, "65536", 1, 1 << 20, ON_STREAMS, AT(frame.max_line), NULL,
		"The longest line, in bytes before its LF."},
	{"amplification", TYPE_RATIO, "3.0", 1, 1000, ON_DATAGRAMS, AT(amplification), NULL,
		"The longest reply, as a multiple of the request."},

	{"idle_timeout", TYPE_TIME, "\"15m\"", 10, 24 * HOURS, ON_STREAMS | ON_DTLS,
		AT(idle_ms), NULL,
		"A connection ends after this long without a byte either way."},
	{"handshake_timeout", TYPE_TIME, "\"10s\"", 10, HOURS, ON_STREAMS | ON_DTLS,
		AT(handshake_ms), NULL,
		"How long the TLS handshake and the PROXY header may take."},
	{"write_timeout", TYPE_TIME, "\"10s\"", 10, HOURS, ON_STREAMS, AT(write_ms), NULL,
		"How long a client may take nothing of what is waiting for it."},

	{"proxy_protocol", TYPE_WORD, "\"off\"", 0, 0, ON_STREAMS | ON_UDP,
		AT(proxy_protocol), proxies,
		"Whether connections begin with a PROXY header, version 1 or 2."},
	{"proxy_from", TYPE_PREFIXES, "[]", 0, 256, ON_STREAMS | ON_UDP, AT(proxy_from), NULL,
		"Prefixes of the proxies that are believed."},

	{"tls", TYPE_TLS, NULL, 0, 0, ON_RECORDS | NEEDS_TLS, AT(tls), NULL,
		"Keys of the tls group, over those of the top."},
};
#undef AT

#define AT(field) offsetof(struct conf_tls, field)
static const struct conf_row tls_rows[] = {
	{"certificates", TYPE_CERTIFICATES, NULL, 1, 64, 0, AT(certificates), NULL,
		"A list of groups, the first of which is the default."},
	{"min_version", TYPE_WORD, "\"1.2\"", 0, 0, 0, AT(min_version), tls_versions,
		"The oldest version of TLS or DTLS that is spoken."},
	{"ciphers", TYPE_STRING, NULL, 1, 4096, 0, AT(ciphers), NULL,
		"Ciphers for TLS 1.2, as OpenSSL lists them."},
	{"ciphersuites", TYPE_STRING, NULL, 1, 4096, 0, AT(ciphersuites), NULL,
		"Cipher suites for TLS 1.3."},
	{"groups", TYPE_STRING, NULL, 1, 4096, 0, AT(groups), NULL,
		"Groups for the key exchange, best first."},
	{"alpn", TYPE_STRINGS, "[]", 0, 16, 0, AT(alpn), NULL,
		"Protocols to agree on by ALPN, best first."},
	{"client_auth", TYPE_WORD, "\"none\"", 0, 0, 0, AT(client_auth), client_auths,
		"Whether clients show a certificate."},
	{"client_ca", TYPE_STRING, NULL, 1, PATH, 0, AT(client_ca), NULL,
		"A PEM file with the authorities that may have signed it."},
	{"crl", TYPE_STRING, NULL, 1, PATH, 0, AT(crl), NULL,
		"A PEM file with their revocation lists, one of every authority in a client's "
		"chain."},
	{"mtu", TYPE_SIZE, "1232", 256, 4096, 0, AT(mtu), NULL,
		"The longest datagram of a DTLS handshake."},
	{"tickets", TYPE_BOOL, "true", 0, 0, 0, AT(tickets), NULL,
		"Whether sessions are resumed by tickets."},
	{"ticket_lifetime", TYPE_TIME, "\"12h\"", MINUTES, 168 * HOURS, 0,
		AT(ticket_lifetime_ms), NULL,
		"How long a ticket key signs before the next one takes over."},
	{"ticket_keys", TYPE_STRING, NULL, 1, PATH, 0, AT(ticket_keys), NULL,
		"A file of ticket keys that several machines share."},
};
#undef AT

#define AT(field) offsetof(struct conf_certificate, field)
static const struct conf_row certificate_rows[] = {
	{"certificate", TYPE_STRING, NULL, 1, PATH, REQUIRED, AT(certificate), NULL,
		"A PEM file with the certificate, and then its chain."},
	{"key", TYPE_STRING, NULL, 1, PATH, REQUIRED, AT(key), NULL,
		"A PEM file with its private key."},
	{"ocsp", TYPE_STRING, NULL, 1, PATH, 0, AT(ocsp), NULL,
		"A DER file with an OCSP response to staple."},
};
#undef AT
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

/* What follows `group` in the key, or NULL when the key is elsewhere. */
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
	if (lacks & NEEDS_LATER)
		return "not supported by this build";
	return NULL;
}

const char *conf_transport_name(enum conf_transport transport)
{
	return conf_transports[transport].word;
}

const char *conf_framing_name(enum upper_framing framing)
{
	return framing == UPPER_DATAGRAM ? "datagram" : conf_framings[framing].word;
}
