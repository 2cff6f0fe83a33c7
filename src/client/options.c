/* SPDX-License-Identifier: Apache-2.0 */
/* Options end at the first word of text, so that text is never mistaken for an option; the other
 * forms have no text, and take options anywhere. A word after `--` is never an option or a URL. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <upper/upper.h>

#include "base/json.h"
#include "base/quantity.h"
#include "client/options.h"
#include "client/question.h"
#include "client/report.h"
#include "client/server.h"
#include "config.h"

enum kind { FLAG, FAMILY, WORD, NUMBER, SIZE, SECONDS, MILLISECONDS, HELP, VERSION };

#define AT(field) offsetof(struct options, field)

static const struct row {
	char letter;
	const char *name, *argument;
	unsigned forms;
	enum kind kind;
	size_t at;
	uint64_t min, max; /* FAMILY: min is the family */
	const char *help;
} rows[] = {
	// clang-format off
	{'4', "ipv4", NULL, FORM_ALL, FAMILY, AT(family), AF_INET, 0, "use IPv4 only"},
	{'6', "ipv6", NULL, FORM_ALL, FAMILY, AT(family), AF_INET6, 0, "use IPv6 only"},
	{'t', "timeout", "TIME", FORM_ALL, SECONDS, AT(timeout_ms), 0, 86400000,
		"how long to wait for a connection, or for an answer; 0: for ever"},
	{'r', "retries", "N", FORM_TALK | FORM_CHECK, NUMBER, AT(retries), 0, 10,
		"how often to send an unanswered datagram again"},
	{'c', "count", "N", FORM_PING, NUMBER, AT(count), 1, UINT32_MAX,
		"stop after this many questions to each server"},
	{'i', "interval", "TIME", FORM_PING, SECONDS, AT(interval_ms), 1, 86400000,
		"from one question to the next"},
	{'w', "deadline", "TIME", FORM_PING, SECONDS, AT(deadline_ms), 1, 86400000,
		"stop after this long"},
	{'c', "connections", "N", FORM_BENCH, NUMBER, AT(connections), 1, 4096,
		"how many to hold open"},
	{'n', "messages", "N", FORM_BENCH, NUMBER, AT(count), 1, UINT64_MAX,
		"stop after this many questions"},
	{'d', "duration", "TIME", FORM_BENCH, SECONDS, AT(duration_ms), 1, 86400000,
		"stop after this long"},
	{'p', "pipeline", "N", FORM_BENCH, NUMBER, AT(depth), 1, 1024,
		"how many messages to have under way on each"},
	{'s', "size", "SIZE", FORM_PING | FORM_CHECK | FORM_BENCH, SIZE, AT(size), QUESTION_MIN, 65507,
		"bytes in each question"},
	{'W', "warning", "TIME", FORM_CHECK, MILLISECONDS, AT(warning_ms), 1, 86400000,
		"WARNING when the answer takes longer"},
	{'C', "critical", "TIME", FORM_CHECK, MILLISECONDS, AT(critical_ms), 1, 86400000,
		"CRITICAL when the answer takes longer"},
	{'q', "quiet", NULL, FORM_PING | FORM_BENCH, FLAG, AT(quiet), 0, 0,
		"only the summary"},
	{'A', "cafile", "FILE", FORM_ALL, WORD, AT(cafile), 0, 0,
		"authorities to trust for TLS, instead of the system's"},
	{'E', "cert", "FILE", FORM_ALL, WORD, AT(cert), 0, 0, "client certificate"},
	{'K', "key", "FILE", FORM_ALL, WORD, AT(key), 0, 0,
		"its private key, if it is in another file"},
	{'N', "servername", "NAME", FORM_ALL, WORD, AT(servername), 0, 0,
		"name to verify the server's certificate against, instead of the URL's host"},
	{'k', "insecure", NULL, FORM_ALL, FLAG, AT(insecure), 0, 0,
		"do not verify the server's certificate"},
	{'m', "mtu", "SIZE", FORM_ALL, SIZE, AT(mtu), 256, 4096,
		"the longest datagram in a handshake of DTLS"},
	{'j', "json", NULL, FORM_ALL, FLAG, AT(json), 0, 0, "print everything as JSON"},
	{'h', "help", NULL, FORM_ALL, HELP, 0, 0, 0, "show this"},
	{'V', "version", NULL, FORM_ALL, VERSION, 0, 0, 0, "show versions"},
	// clang-format on
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

/* The long option and the letters that getopt wants, made from the rows of one form. */
struct getopt_table {
	struct option longs[N_ROWS + 1];
	char letters[2 * N_ROWS + 3];
};

static void getopt_fill(struct getopt_table *table, unsigned form)
{
	struct option *option = table->longs;
	char *letter = table->letters;

	if (form == FORM_TALK)
		*letter++ = '+';
	*letter++ = ':';
	for (const struct row *row = rows; row < rows + N_ROWS; row++) {
		if (!(row->forms & form))
			continue;
		*option++ = (struct option){row->name,
			row->argument ? required_argument : no_argument, NULL, row->letter};
		*letter++ = row->letter;
		if (row->argument)
			*letter++ = ':';
	}
	*letter = '\0';
	*option = (struct option){0};
}

static const struct row *row_of(unsigned form, int letter)
{
	for (const struct row *row = rows; row < rows + N_ROWS; row++)
		if ((row->forms & form) && row->letter == letter)
			return row;
	return NULL;
}

static int parse_number(const char *text, uint64_t *ret_value)
{
	char *end;

	errno = 0;
	*ret_value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end)
		return QUANTITY_E_SYNTAX;
	return errno ? QUANTITY_E_RANGE : 0;
}

/* "2", "0.25": seconds, as ping(8) takes them, to the millisecond. */
static int parse_seconds(const char *text, uint64_t *ret_ms)
{
	uint64_t ms = 0;
	unsigned digits = 0;

	if (*text < '0' || *text > '9')
		return QUANTITY_E_SYNTAX;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (ms > UINT32_MAX)
			return QUANTITY_E_RANGE;
		ms = 10 * ms + (uint64_t)(*text - '0');
	}
	if (*text == '.')
		for (text++; digits < 3 && *text >= '0' && *text <= '9'; text++, digits++)
			ms = 10 * ms + (uint64_t)(*text - '0');
	if (*text)
		return QUANTITY_E_SYNTAX;
	for (; digits < 3; digits++)
		ms *= 10;
	*ret_ms = ms;
	return 0;
}

/* A bare number is in seconds or milliseconds, as the same option of ping(8) or of plugins takes it. */
static int parse_time(const struct row *row, const char *text, uint64_t *ret_ms)
{
	int r;

	r = quantity_parse_time(text, ret_ms);
	if (r != QUANTITY_E_SYNTAX)
		return r;
	return row->kind == SECONDS ? parse_seconds(text, ret_ms) : parse_number(text, ret_ms);
}

static int parse_value(const struct row *row, const char *text, uint64_t *ret_value)
{
	switch (row->kind) {
	case NUMBER:
		return parse_number(text, ret_value);
	case SIZE:
		return quantity_parse_size(text, ret_value);
	case SECONDS:
	case MILLISECONDS:
		return parse_time(row, text, ret_value);
	case FLAG:
	case FAMILY:
	case WORD:
	case HELP:
	case VERSION:
		break;
	}
	return QUANTITY_E_SYNTAX;
}

static const char *kind_example(const struct row *row)
{
	return row->kind == SECONDS || row->kind == MILLISECONDS ? "a time such as 250ms or 3s"
		: row->kind == SIZE                              ? "a size such as 56 or 1k"
								 : "a whole number";
}

/* Parsing under way. */
struct parse {
	const struct command *command;
	struct options options;
	struct why *why;
};

static int set_value(struct parse *parse, const struct row *row, const char *text)
{
	uint64_t value;
	int r;

	r = parse_value(row, text, &value);
	if (r == QUANTITY_E_SYNTAX)
		return why_set(parse->why, CLIENT_E_USAGE, "--%s wants %s, not \"%s\"", row->name,
			kind_example(row), text);
	if (r || value < row->min || value > row->max)
		return why_set(parse->why, CLIENT_E_USAGE,
			"--%s %s is out of range: from %" PRIu64 " to %" PRIu64 "%s", row->name,
			text, row->min, row->max,
			row->kind == SECONDS || row->kind == MILLISECONDS ? " ms" : "");
	memcpy((char *)&parse->options + row->at, &value, sizeof(value));
	return 0;
}

/* The command line may be at fault before --json is reached, and the message is JSON all the same. */
static bool wants_json(char **argv)
{
	while (*argv && strcmp(*argv, "--") != 0 && strcmp(*argv, "-j") != 0 &&
		strcmp(*argv, "--json") != 0)
		argv++;
	return *argv && strcmp(*argv, "--") != 0;
}

static int show_version(bool as_json)
{
	struct json json = JSON_TO(stdout);

	if (as_json) {
		json_object(&json, NULL);
		json_string(&json, "upper", UPPERD_VERSION);
		json_string(&json, "libupper", UPPERD_VERSION);
		json_string(&json, "unicode", upper_unicode_version());
		json_end(&json);
		return OPTIONS_E_SHOWN;
	}
	printf("upper %s\nlibupper %s, Unicode %s\n", UPPERD_VERSION, UPPERD_VERSION,
		upper_unicode_version());
	return OPTIONS_E_SHOWN;
}

static int apply(struct parse *parse, const struct row *row)
{
	switch (row->kind) {
	case FLAG:
		*((bool *)((char *)&parse->options + row->at)) = true;
		return 0;
	case FAMILY:
		parse->options.family = (int)row->min;
		return 0;
	case WORD:
		if (!*optarg)
			return why_set(parse->why, CLIENT_E_USAGE,
				"--%s wants a value, and \"\" is none", row->name);
		*(const char **)((char *)&parse->options + row->at) = optarg;
		return 0;
	case HELP:
		options_help(parse->command->form);
		return OPTIONS_E_SHOWN;
	case VERSION:
		return show_version(wants_json(parse->command->argv));
	case NUMBER:
	case SIZE:
	case SECONDS:
	case MILLISECONDS:
		break;
	}
	return set_value(parse, row, optarg);
}

static int complain(struct parse *parse, int letter)
{
	const struct form *form = parse->command->form;
	const char *lacking = letter == ':' ? " wants a value" : ": no such option";
	const char *word = parse->command->argv[optind - 1];
	char short_form[] = {'-', (char)optopt, '\0'};

	if (strncmp(word, "--", 2) != 0 && optopt)
		word = short_form;
	return why_set(parse->why, CLIENT_E_USAGE, "%s%s; see upper%s%s --help%s", word, lacking,
		form->name ? " " : "", form->name ? form->name : "",
		form->form == FORM_TALK ? ", and send text that begins with - after --" : "");
}

/* Takes options up to the first word that is none. */
static int take_options(struct parse *parse)
{
	const struct command *command = parse->command;
	struct getopt_table table;
	int letter, r;

	getopt_fill(&table, command->form->form);
	while ((letter = getopt_long(
			command->argc, command->argv, table.letters, table.longs, NULL)) != -1) {
		if (letter == ':' || letter == '?')
			return complain(parse, letter);
		r = apply(parse, row_of(command->form->form, letter));
		if (r)
			return r;
	}
	return 0;
}

/* Whether the first word that is no option is the server rather than text. */
static bool has_url(const struct form *form, char **argv)
{
	if (form->form != FORM_TALK)
		return argv[optind] != NULL;
	return url_is_one(argv[optind]) && strcmp(argv[optind - 1], "--") != 0;
}

static int parse_all(struct parse *parse)
{
	const struct form *form = parse->command->form;
	struct options *options = &parse->options;
	char **argv = parse->command->argv;
	int r;

	r = take_options(parse);
	if (r)
		return r;
	if (has_url(form, argv)) {
		options->url = argv[optind++];
		/* Elsewhere getopt has found them all, and is confused by being asked again. */
		r = form->form == FORM_TALK ? take_options(parse) : 0;
		if (r)
			return r;
	}

	options->rest = argv + optind;
	options->n_rest = (size_t)(parse->command->argc - optind);
	if (options->n_rest && (form->form & (FORM_CHECK | FORM_BENCH)))
		return why_set(parse->why, CLIENT_E_USAGE,
			"%s takes one URL, and there is also \"%s\"", form->name, options->rest[0]);
	return 0;
}

int options_parse(const struct command *command, struct options *ret_options, struct why *why)
{
	struct parse parse = {command, command->form->defaults, why};
	const char *usual = getenv("UPPER_SERVER");
	int r;

	opterr = 0;
	parse.options.url = usual && *usual ? usual : "udp://localhost";
	r = parse_all(&parse);
	if (r)
		parse.options = (struct options){.json = wants_json(command->argv)};
	*ret_options = parse.options;
	return r;
}

void options_help(const struct form *form)
{
	printf("usage: upper %s\n%s\n\n", form->synopsis, form->summary);
	for (const struct row *row = rows; row < rows + N_ROWS; row++)
		if (row->forms & form->form)
			printf("  -%c, --%-11s %-5s %s\n", row->letter, row->name,
				row->argument ? row->argument : "", row->help);
	printf("\nURL is udp://HOST[:PORT], or so with tcp, tls or dtls, or unix:PATH; without "
	       "one, the "
	       "environment's\nUPPER_SERVER, else udp://localhost. See upper(1).\n");
}
