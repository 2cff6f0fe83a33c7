/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The configuration, as the rest of the program sees it: complete, checked, and never changed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <upper/frame.h>
#include <upper/upper.h>

#include "base/addr.h"
#include "base/log.h"
#include "core/service.h"

enum conf_transport { CONF_UDP, CONF_TCP, CONF_TLS, CONF_DTLS };
enum conf_sandbox {
	CONF_SANDBOX_REQUIRED,
	CONF_SANDBOX_STRICT,
	CONF_SANDBOX_BEST_EFFORT,
	CONF_SANDBOX_OFF
};
enum conf_log_target { CONF_LOG_AUTO, CONF_LOG_JOURNAL, CONF_LOG_SYSLOG, CONF_LOG_STDERR };
enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };
enum conf_proxy { CONF_PROXY_OFF, CONF_PROXY_OPTIONAL, CONF_PROXY_REQUIRED };
enum conf_client_auth { CONF_CLIENT_NONE, CONF_CLIENT_OPTIONAL, CONF_CLIENT_REQUIRED };
enum conf_tls_version { CONF_TLS_1_2, CONF_TLS_1_3 };

struct conf_prefixes {
	struct addr_prefix *list;
	size_t n;
};

struct conf_certificate {
	char *certificate, *key, *ocsp;
	char **origins;
};

struct conf_tls {
	struct conf_certificate *certificates;
	size_t n_certificates;
	enum conf_tls_version min_version;
	char *ciphers, *ciphersuites, *groups; /* NULL: the built-in list */
	char **alpn;
	size_t n_alpn;
	enum conf_client_auth client_auth;
	char *client_ca, *crl;
	char **client_names; /* each as client_name_parse() takes it */
	size_t n_client_names;
	size_t mtu; /* of DTLS */
	bool tickets;
	uint64_t ticket_lifetime_ms;
	char *ticket_keys;
	char **origins;
};

struct conf_listener {
	char *name;
	enum conf_transport transport;
	char *path;          /* a unix socket; `@name` is abstract; NULL: address and port count */
	struct addr address; /* its port is set */
	uint16_t port;
	bool v6only;
	char *interface;
	mode_t mode;
	char *owner, *group;
	unsigned backlog;
	uint64_t connections;

	enum service_kind service;
	struct upper_rule rule;
	struct upper_frame frame;
	double amplification;

	uint64_t idle_ms, handshake_ms, write_ms;

	enum conf_proxy proxy_protocol;
	struct conf_prefixes proxy_from;

	struct conf_tls tls; /* the listener's own keys over the top-level ones */
	char **origins;
};

struct conf_limits {
	uint64_t connections, per_client, handshakes, datagrams, unchanged;
	struct conf_prefixes exempt;
	bool dry_run;
};

/* `origins`, here and above, says for conf_dump() where each value comes from. */
struct conf {
	char *user, *group;
	unsigned workers; /* 0: one per CPU */
	uint64_t drain_ms;
	enum conf_sandbox sandbox;
	struct {
		enum conf_log_target target;
		enum conf_log_format format;
		enum log_level level;
		unsigned access; /* a record of one connection in so many; 0: of none */
	} log;
	char *control_path;
	char *control_group; /* NULL: there is none */
	struct {
		struct addr address;
		uint16_t port; /* 0: there is no address */
		char *path;
		char **hosts; /* besides addresses and names without a dot */
		size_t n_hosts;
	} metrics;
	struct conf_limits limits;
	struct conf_tls tls;
	struct conf_listener *listeners;
	size_t n_listeners;
	char **origins;
};

/* More are refused, so that whatever walks over them is bounded. */
#define CONF_MAX_LISTENERS 256

/* Reads a whole file for the parser, which opens nothing itself. Returns 0 and a buffer of
 * `ret_len` bytes (the caller frees it), or a negative errno. */
typedef int (*conf_read_fn)(void *userdata, const char *path, char **ret_text, size_t *ret_len);

struct conf_source {
	const char *file;  /* its name, as faults and origins show it */
	conf_read_fn read; /* a must: this room opens nothing */
	void *userdata;
	const char *const *sets; /* KEY=VALUE, NULL-terminated; may be NULL */
};

struct faults;

enum { CONF_E_FAULTS = 1 }; /* `faults` says what is wrong; there is no configuration */

/* Text to configuration: 0, CONF_E_FAULTS, or a negative errno when memory runs out. Adds every
 * fault found, and warnings also when it succeeds. Opens none of the files that are named. */
int conf_load(const struct conf_source *source, struct faults *faults, struct conf **ret_conf);
/* The same, but CONF_E_FAULTS too gives a draft, so that more faults can be looked for; NULL when the text
 * could not be parsed. Values that are wrong or missing are zero in it. It is no configuration to serve. */
int conf_load_draft(
	const struct conf_source *source, struct faults *faults, struct conf **ret_draft);
void conf_free(struct conf *conf);

/* Fills in the line and the column of faults that came up later, when only the file and the number of
 * the line were known. A file that cannot be read any more is passed over. */
void conf_show_faults(struct faults *faults, conf_read_fn read, void *userdata);

/* The socket for metrics, as a listener that is called CONF_METRICS; false when there is none. */
#define CONF_METRICS "metrics"
bool conf_metrics(const struct conf *conf, struct conf_listener *ret_listener);

#define CONF_LISTENER_NAME 65 /* room for one */
/* The name of a socket unit's FileDescriptorName= for a listener. systemd ends a name at a colon, as the default name
 * of a listener has one: true when it must be given another name, this one. */
bool conf_socket_name(
	const struct conf_listener *listener, char ret_name[static CONF_LISTENER_NAME]);

/* The text from which conf_load() makes the same configuration, with each value's origin. */
int conf_dump(const struct conf *conf, char **ret_text);
/* The keys in which the two differ, as "workers, listeners.\"tls\".port"; empty when there are none. */
int conf_changes(const struct conf *before, const struct conf *after, char **ret_keys);
/* The keys that --set takes, a line each and with "=" behind it; of a draft or NULL, those that are known. */
void conf_print_keys(const struct conf *conf, FILE *to);

/* Where the value of a key outside of listeners and tls comes from, such as "default"; NULL: no such key. */
const char *conf_origin(const struct conf *conf, const char *key);

/* The words of the configuration, such as "udp", for logs and counters. */
const char *conf_transport_name(enum conf_transport transport);

/* Whether it speaks TLS, over a stream or datagrams. */
static inline bool conf_has_tls(const struct conf_listener *listener)
{
	return listener->transport == CONF_TLS || listener->transport == CONF_DTLS;
}

static inline void conf_freep(struct conf **conf)
{
	conf_free(*conf);
}
#define _cleanup_conf_ __attribute__((cleanup(conf_freep)))
