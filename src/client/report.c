/* SPDX-License-Identifier: Apache-2.0 */
/* Every sentence and every failure goes through here, so that they look alike. With --json a
 * failure is an object on stdout, and stderr stays quiet. */

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "client/options.h"
#include "client/report.h"

static const struct phrase {
	int error;
	const char *phrase, *advice;
} phrases[] = {
	{ECONNREFUSED, "connection refused", "is a server listening there?"},
	{ECONNRESET, "connection reset", NULL},
	{ETIMEDOUT, "no answer", "is a firewall dropping what we send?"},
	{EHOSTUNREACH, "the host cannot be reached", NULL},
	{ENETUNREACH, "no route to that network", NULL},
	{EADDRNOTAVAIL, "no address to send from", NULL},
	{EAFNOSUPPORT, "this machine lacks that kind of address", NULL},
	{EACCES, "permission denied", "may you use that socket?"},
	{EPERM, "not permitted", "does a firewall of this machine forbid it?"},
	{ENOENT, "no such socket", "is the server running?"},
	{EAGAIN, "too many are waiting already", "try again in a moment"},
};

static const struct phrase *phrase_of(int error)
{
	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].error == error)
			return &phrases[i];
	return NULL;
}

const char *errno_phrase(int error)
{
	const struct phrase *phrase = phrase_of(error);

	return phrase ? phrase->phrase : strerror(error);
}

const char *errno_advice(int error)
{
	const struct phrase *phrase = phrase_of(error);

	return phrase ? phrase->advice : NULL;
}

static bool is_coloured(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(fileno(stream)) && !(no_color && *no_color);
}

const char *colour_bad(FILE *stream)
{
	return is_coloured(stream) ? "\033[31m" : "";
}

const char *colour_good(FILE *stream)
{
	return is_coloured(stream) ? "\033[32m" : "";
}

const char *colour_dim(FILE *stream)
{
	return is_coloured(stream) ? "\033[2m" : "";
}

const char *colour_off(FILE *stream)
{
	return is_coloured(stream) ? "\033[0m" : "";
}

int why_no_input(struct why *why, int error)
{
	return why_set(why, CLIENT_E_LOCAL, "the input cannot be read: %s", strerror(error));
}

/* A closed pipe needs no message. */
int why_no_output(struct why *why, int error)
{
	if (error == EPIPE)
		return CLIENT_E_LOCAL;
	return why_set(why, CLIENT_E_LOCAL, "the output cannot be written: %s", strerror(error));
}

void say(const char *format, ...)
{
	va_list list;

	fprintf(stderr, "%supper:%s ", colour_bad(stderr), colour_off(stderr));
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

void note(const char *format, ...)
{
	va_list list;

	fprintf(stderr, "%supper: ", colour_dim(stderr));
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, "%s\n", colour_off(stderr));
}

/* errno of an earlier write is gone; ferror() still knows that one failed. */
int report_flush(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	if (errno != EPIPE)
		say("the output cannot be written%s%s", errno ? ": " : "",
			errno ? errno_phrase(errno) : "");
	return CLIENT_E_LOCAL;
}

const char *const phase_names[N_PHASES] = {"name", "connect", "tls", "first", "rest", "whole"};

uint64_t phases_get(const struct phases *phases, size_t which)
{
	const uint64_t all[N_PHASES] = {phases->name, phases->connect, phases->tls, phases->first,
		phases->rest, phases->whole};

	return all[which];
}

void phases_print_json(const struct phases *phases, struct json *json)
{
	json_decimal(json, "ms", (double)phases->whole / 1000, 3);
	json_object(json, "phases");
	for (size_t i = 0; i < N_PHASES - 1; i++)
		json_decimal(json, phase_names[i], (double)phases_get(phases, i) / 1000, 3);
	json_end(json);
}

int report_failure(
	const struct options *options, const char *server, int outcome, const struct why *why)
{
	const char *text = outcome < 0 ? errno_phrase(-outcome) : why->text;
	int code = outcome < 0 ? CLIENT_E_LOCAL : outcome;
	struct json json = JSON_TO(stdout);

	if (!*text)
		return code;
	if (server &&
		!*server) /* the fault is in the options, and came before the name was looked at */
		server = NULL;
	if (!options->json) {
		say("%s%s%s", server ? server : "", server ? ": " : "", text);
		return code;
	}

	json_object(&json, NULL);
	json_string(&json, "server", server);
	json_string(&json, "error", text);
	json_number(&json, "exit", (uint64_t)code);
	json_end(&json);
	fflush(stdout);
	return code;
}
