/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line, and the forms of the command. One table has every option, and makes both the parser
 * and the help. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/completions.h"
#include "client/report.h"

/* Which forms of the command an option belongs to. */
enum {
	FORM_TALK = 1 << 0,
	FORM_PING = 1 << 1,
	FORM_CHECK = 1 << 2,
	FORM_BENCH = 1 << 3,
	FORM_PROBE = 1 << 4,
	FORM_PATH = 1 << 5,
	FORM_MEASURE = FORM_PING | FORM_CHECK | FORM_BENCH | FORM_PROBE,
	FORM_ALL = FORM_TALK | FORM_MEASURE | FORM_PATH,
};

/* A range as monitoring plugins have it: [@][START:]END. A value outside of it is an alert; with @, one
 * inside. */
struct range {
	bool is_set, is_inverted;
	double start, end; /* perhaps infinite */
};

struct options {
	bool json, quiet, verbose, no_history;
	bool insecure;                   /* the server's certificate is not verified */
	const char *cafile, *cert, *key; /* NULL: not given */
	const char *servername;          /* instead of the URL's host; NULL: that one */
	uint64_t mtu;                    /* of a handshake over datagrams */
	int family;                      /* AF_UNSPEC, AF_INET or AF_INET6 */
	uint64_t timeout_ms;             /* for a connection or an answer; 0: for ever */
	uint64_t retries;
	uint64_t count, size, depth, connections;
	uint64_t interval_ms, deadline_ms, duration_ms;
	/* Of ping. */
	bool flood, stamps, outstanding;
	/* Of bench. */
	uint64_t rate, warmup_ms;
	bool is_closed, ramp, reconnect, resume, no_segments, csv;
	const char *text, *compare, *pids;
	/* Of check. */
	struct range warning, critical; /* in milliseconds */
	struct range loss_warning, loss_critical;
	struct range days_warning, days_critical;
	const char *phase, *min_version, *group;
	const char *host, *scheme;
	bool soundness;
	uint64_t port;

	/* Of path. */
	uint64_t idle_ms; /* 0: not asked for */
	/* Of probe. */
	const char *send, *expect, *textfile, *listen;

	const char *completions; /* of a shell, instead of all else; NULL: not asked for */

	bool has_url;    /* it is not the usual one */
	const char *url; /* never NULL: given, $UPPER_SERVER, or the usual one */
	char **rest;     /* the words after it: text, or further URLs */
	size_t n_rest;
};

struct form {
	unsigned form;
	const char *name; /* NULL: the one without a word of its own */
	const char *synopsis, *summary;
	int (*run)(const struct options *options);
	struct options defaults;
};

enum { OPTIONS_E_SHOWN = 100 }; /* --help or --version: all is done */

/* One command line: its form, and its words. */
struct command {
	const struct form *form;
	int argc;
	char **argv;
};

/* Whether a value is an alert. False when the range is not set. */
bool range_alerts(const struct range *range, double value);

/* Reads argv[1...]; CLIENT_E_USAGE and why when something is wrong, and then `ret_options` holds only
 * whether the message is to be JSON. */
int command_line_parse(const struct command *command, struct options *ret_options, struct why *why);
/* The table of forms ends with a nameless row; the help of that one lists the others. */
void options_help(const struct form *form);

/* A row of the table, as the shells complete it. False after the last row. */
bool options_show(const struct form *form, size_t index, struct completion *ret_shown);

/* The forms. Each call returns 0, CLIENT_E_* or a negative errno, and has printed its own messages but
 * for an errno. check_run() returns the exit codes of a monitoring plugin. */
struct server;

int ping_run(const struct options *options);
int bench_run(const struct options *options);
int path_run(const struct options *options);
int probe_run(const struct options *options);
int check_run(const struct options *options);
int check_refuse(const struct options *options, const char *text); /* a fault in its command line */

/* The three kinds of the nameless form. */
int oneshot_run(struct server *server);
int interactive_run(struct server *server);
int filter_run(struct server *server);
int filter_refuse(const struct server *server, int outcome, const struct why *why);

/* The most text that the filter puts into a datagram: it fits into a packet nearly everywhere, even
 * when it grows a little, and into the 2,048 bytes that a textbook server reads. */
#define CUT_MAX 1400

/* The length of the next datagram: as many whole lines as fit; without any, a line's first part
 * that ends with a whole character; at the end of input, all of the rest. 0: wait for more. */
size_t filter_cut(const uint8_t *text, size_t len, bool is_end);
