/* SPDX-License-Identifier: Apache-2.0 */
/* Options end at the first word of text, so that text is never mistaken for an option; the other
 * forms have no text, and take options anywhere. A word after `--` is never an option or a URL. */

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <upper/upper.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "client/options.h"
#include "client/question.h"
#include "client/report.h"
#include "client/server.h"
#include "config.h"

enum kind {
	FLAG,
	FAMILY,
	WORD,
	CHOICE,
	NUMBER,
	SIZE,
	SECONDS,
	MILLISECONDS,
	TIMES,
	PERCENT,
	HELP,
	VERSION
};

#define AT(field) offsetof(struct options, field)

static const struct option_row {
	char letter; /* 0: none */
	const char *name, *argument;
	unsigned forms;
	enum kind kind;
	size_t at;
	uint64_t min, max; /* FAMILY: min is the family */
	const char *
		usual; /* the default in words, when it is no number of the form's; or the choices */
	const char *help;
} rows[] = {
	// clang-format off
	{'4', "ipv4", NULL, FORM_ALL, FAMILY, AT(family), AF_INET, 0, "off", "use IPv4 only"},
	{'6', "ipv6", NULL, FORM_ALL, FAMILY, AT(family), AF_INET6, 0, "off", "use IPv6 only"},
	{'t', "timeout", "TIME", FORM_ALL, SECONDS, AT(timeout_ms), 0, 86400000, NULL,
		"how long to wait for a connection, or for an answer; 0: for ever"},
	{'r', "retries", "N", FORM_TALK | FORM_CHECK | FORM_PROBE, NUMBER, AT(retries), 0, 10, NULL,
		"how often to send an unanswered datagram again"},
	{'c', "count", "N", FORM_PING, NUMBER, AT(count), 1, UINT32_MAX, "no limit",
		"stop after this many questions to each server"},
	{'i', "interval", "TIME", FORM_PING, SECONDS, AT(interval_ms), 1, 86400000, NULL,
		"from one question to the next"},
	{'w', "deadline", "TIME", FORM_PING, SECONDS, AT(deadline_ms), 1, 86400000, "no limit",
		"stop after this long"},
	{'D', "timestamps", NULL, FORM_PING, FLAG, AT(stamps), 0, 0, "off",
		"print the time of day before each line"},
	{'O', "outstanding", NULL, FORM_PING, FLAG, AT(outstanding), 0, 0, "off",
		"before a question, report that the last one has no answer yet"},
	{'f', "flood", NULL, FORM_PING, FLAG, AT(flood), 0, 0, "off",
		"ask as soon as an answer has come, or 100 times a second"},
	{'c', "connections", "N", FORM_BENCH, NUMBER, AT(connections), 1, 65535, NULL,
		"how many to hold open"},
	{'n', "messages", "N", FORM_BENCH, NUMBER, AT(count), 1, UINT64_MAX, "no limit",
		"stop after this many questions"},
	{'d', "duration", "TIME", FORM_BENCH, SECONDS, AT(duration_ms), 1, 86400000, "5s",
		"stop after this long"},
	{'p', "pipeline", "N", FORM_BENCH, NUMBER, AT(depth), 1, 1024, NULL,
		"how many messages to have under way on each"},
	{'R', "rate", "N", FORM_BENCH, NUMBER, AT(rate), 1, 10000000, "closed load",
		"questions a second; times count from when each was due"},
	{0, "closed", NULL, FORM_BENCH, FLAG, AT(is_closed), 0, 0, "unless --rate is given",
		"closed load: each answer is followed by the next question"},
	{0, "ramp", NULL, FORM_BENCH, FLAG, AT(ramp), 0, 0, "off",
		"raise the rate from --rate, or 1000, until the server does not keep up"},
	{0, "warmup", "TIME", FORM_BENCH, SECONDS, AT(warmup_ms), 0, 86400000, NULL,
		"leave the first answers out of the result"},
	{'T', "text", "TEXT", FORM_BENCH, WORD, AT(text), 0, 0, "ASCII letters",
		"latin, greek, cjk, or a file whose pieces are sent"},
	{0, "reconnect", NULL, FORM_BENCH, FLAG, AT(reconnect), 0, 0, "off",
		"a new connection for each question"},
	{0, "resume", NULL, FORM_BENCH, FLAG, AT(resume), 0, 0, "off, full handshakes",
		"resume sessions of TLS on new connections"},
	{0, "no-segments", NULL, FORM_BENCH, FLAG, AT(no_segments), 0, 0, "off",
		"each datagram by itself, not in runs (GSO, GRO)"},
	{0, "csv", NULL, FORM_BENCH, FLAG, AT(csv), 0, 0, "off",
		"print a line of comma-separated values for each second"},
	{0, "compare", "FILE", FORM_BENCH, WORD, AT(compare), 0, 0, "none",
		"compare with an earlier result of --json"},
	{0, "pid", "LIST", FORM_BENCH, WORD, AT(pids), 0, 0, "none",
		"also report the processor time of these processes, and of their children"},
	{'s', "size", "SIZE", FORM_MEASURE, SIZE, AT(size), QUESTION_MIN, 65536, NULL,
		"bytes in each question"},
	{'H', "host", "HOST", FORM_CHECK, WORD, AT(host), 0, 0, "the URL's",
		"the server, instead of a URL"},
	{'p', "port", "PORT", FORM_CHECK, NUMBER, AT(port), 1, 65535, "12000, or 12443 with TLS",
		"its port"},
	{'S', "scheme", "SCHEME", FORM_CHECK, WORD, AT(scheme), 0, 0, "udp", "its transport: udp, tcp, tls or dtls"},
	{'w', "warning", "RANGE", FORM_CHECK, TIMES, AT(warning), 0, 0, "none",
		"WARNING when the time is out of this range; -W is the same"},
	{'c', "critical", "RANGE", FORM_CHECK, TIMES, AT(critical), 0, 0, "none",
		"CRITICAL when the time is out of this range; -C is the same"},
	{'P', "phase", "PHASE", FORM_CHECK, CHOICE, AT(phase), 0, 0, "whole name connect tls first rest",
		"the time that has the limits"},
	{'n', "count", "N", FORM_CHECK, NUMBER, AT(count), 1, 100, NULL,
		"how many questions to ask, each over a connection of its own"},
	{'n', "count", "N", FORM_PATH, NUMBER, AT(count), 1, 1000, NULL,
		"how many connections to make, to tell servers of TLS apart"},
	{'i', "idle", "TIME", FORM_PATH, SECONDS, AT(idle_ms), 1000, 86400000, "off",
		"find out how long a connection may be idle, up to this"},
	{0, "loss-warning", "RANGE", FORM_CHECK, PERCENT, AT(loss_warning), 0, 0, "none",
		"WARNING when the percentage of lost questions is out of this range"},
	{0, "loss-critical", "RANGE", FORM_CHECK, PERCENT, AT(loss_critical), 0, 0, "0",
		"CRITICAL when it is out of this one"},
	{0, "days-warning", "RANGE", FORM_CHECK, PERCENT, AT(days_warning), 0, 0, "none",
		"WARNING when the days that the certificates last are out of this range, such as 30:"},
	{0, "days-critical", "RANGE", FORM_CHECK, PERCENT, AT(days_critical), 0, 0, "none",
		"CRITICAL when they are out of this one"},
	{0, "min-tls", "VERSION", FORM_CHECK, CHOICE, AT(min_version), 0, 0, "1.2 1.3",
		"CRITICAL when the server speaks an older version"},
	{0, "group", "NAME", FORM_CHECK, WORD, AT(group), 0, 0, "any",
		"CRITICAL unless keys are exchanged with this group, such as X25519MLKEM768"},
	{0, "probe", NULL, FORM_CHECK, FLAG, AT(soundness), 0, 0, "off",
		"WARNING unless the server refuses what a sound server refuses"},
	{0, "send", "TEXT", FORM_PROBE, WORD, AT(send), 0, 0, "a numbered text in lower case",
		"what to send, with \\n, \\r, \\t, \\0 and \\xNN"},
	{0, "expect", "REGEX", FORM_PROBE, WORD, AT(expect), 0, 0, "upper case, or any answer to --send",
		"an extended regular expression for the right answer"},
	{0, "textfile", "FILE", FORM_PROBE, WORD, AT(textfile), 0, 0, "standard output",
		"write the samples to this file, all at once"},
	{0, "listen", "ADDRESS", FORM_PROBE, WORD, AT(listen), 0, 0, "off",
		"serve /probe?target=URL over HTTP; the URLs are patterns of allowed targets"},
	{'v', "verbose", NULL, FORM_TALK, FLAG, AT(verbose), 0, 0, "off",
		"describe the connection: address, session and certificate"},
	{0, "no-history", NULL, FORM_TALK, FLAG, AT(no_history), 0, 0, "off",
		"do not keep the lines that are typed"},
	{'v', "verbose", NULL, FORM_CHECK, FLAG, AT(verbose), 0, 0, "off",
		"more lines: address, phases and session"},
	{'q', "quiet", NULL, FORM_PING | FORM_BENCH, FLAG, AT(quiet), 0, 0, "off",
		"only the summary"},
	{'A', "cafile", "FILE", FORM_ALL, WORD, AT(cafile), 0, 0, "the system's",
		"authorities to trust for TLS"},
	{'E', "cert", "FILE", FORM_ALL, WORD, AT(cert), 0, 0, "none", "client certificate"},
	{'K', "key", "FILE", FORM_ALL, WORD, AT(key), 0, 0, "the file of --cert", "its private key"},
	{'N', "servername", "NAME", FORM_ALL, WORD, AT(servername), 0, 0, "the URL's host",
		"name to verify the server's certificate against"},
	{'k', "insecure", NULL, FORM_ALL, FLAG, AT(insecure), 0, 0, "off",
		"do not verify the server's certificate"},
	{'m', "mtu", "SIZE", FORM_ALL, SIZE, AT(mtu), 256, 4096, NULL,
		"the longest datagram in a handshake of DTLS"},
	{'j', "json", NULL, FORM_ALL, FLAG, AT(json), 0, 0, "off", "print everything as JSON"},
	{0, "completions", "SHELL", FORM_TALK, CHOICE, AT(completions), 0, 0, COMPLETIONS_SHELLS,
		"print the completions of this program for a shell"},
	{'h', "help", NULL, FORM_ALL, HELP, 0, 0, 0, NULL, "show this"},
	{'V', "version", NULL, FORM_ALL, VERSION, 0, 0, 0, NULL, "show versions"},
	// clang-format on
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

/* Further letters for an option of a form. */
static const struct {
	char letter, same;
	unsigned forms;
} aliases[] = {
	{'W', 't', FORM_PING},
	{'W', 'w', FORM_CHECK},
	{'C', 'c', FORM_CHECK},
};

#define N_ALIASES (sizeof(aliases) / sizeof(*aliases))

/* The long option and the letters that getopt wants, made from the rows of one form. */
struct getopt_table {
	struct option longs[N_ROWS + 1];
	char letters[2 * (N_ROWS + N_ALIASES) + 3];
};

#define LONG_ONLY 256 /* and the index of the row, instead of a letter */

static int code_of(const struct option_row *row)
{
	if (row->letter)
		return (unsigned char)row->letter;
	return LONG_ONLY + (int)(row - rows);
}

static const struct option_row *option_row_of(unsigned form, int code)
{
	for (size_t i = 0; i < N_ALIASES; i++)
		if ((aliases[i].forms & form) && aliases[i].letter == code)
			code = (unsigned char)aliases[i].same;
	for (const struct option_row *row = rows; row < rows + N_ROWS; row++)
		if ((row->forms & form) && code_of(row) == code)
			return row;
	return NULL;
}

static void getopt_fill(struct getopt_table *table, unsigned form)
{
	struct option *option = table->longs;
	char *letter = table->letters;

	if (form == FORM_TALK)
		*letter++ = '+';
	*letter++ = ':';
	for (const struct option_row *row = rows; row < rows + N_ROWS; row++) {
		if (!(row->forms & form))
			continue;
		*option++ = (struct option){row->name,
			row->argument ? required_argument : no_argument, NULL, code_of(row)};
		if (row->letter)
			*letter++ = row->letter;
		if (row->letter && row->argument)
			*letter++ = ':';
	}
	for (size_t i = 0; i < N_ALIASES; i++) {
		if (!(aliases[i].forms & form))
			continue;
		*letter++ = aliases[i].letter;
		if (option_row_of(form, aliases[i].same)->argument)
			*letter++ = ':';
	}
	*letter = '\0';
	*option = (struct option){0};
}

static int parse_count(const char *text, uint64_t *ret_value)
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
static int parse_time(enum kind kind, const char *text, uint64_t *ret_ms)
{
	int r;

	r = quantity_parse_time(text, ret_ms);
	if (r != QUANTITY_E_SYNTAX)
		return r;
	return kind == SECONDS ? parse_seconds(text, ret_ms) : parse_count(text, ret_ms);
}

/* One end of a range: a time in milliseconds, or a number. "" and "~" are `absent`. */
static int parse_bound(enum kind kind, const char *text, double absent, double *ret_bound)
{
	uint64_t ms;
	char *end;
	int r;

	*ret_bound = absent;
	if (!*text || strcmp(text, "~") == 0)
		return 0;
	if (kind == TIMES) {
		r = parse_time(MILLISECONDS, text, &ms);
		*ret_bound = (double)ms;
		return r;
	}
	*ret_bound = strtod(text, &end);
	return *end || !isdigit((unsigned char)*text) ? QUANTITY_E_SYNTAX : 0;
}

static int parse_range(enum kind kind, const char *text, struct range *ret_range)
{
	struct range range = {.is_set = true, .is_inverted = *text == '@'};
	_cleanup_free_ char *start = strdup(text + range.is_inverted);
	char *colon = start ? strchr(start, ':') : NULL, *end = start;
	int r = 0;

	if (!start)
		return -ENOMEM;
	if (!*start)
		return QUANTITY_E_SYNTAX;
	if (colon) {
		*colon = '\0';
		end = colon + 1;
		r = parse_bound(kind, start, *start ? -INFINITY : 0, &range.start);
	}
	if (!r)
		r = parse_bound(kind, end, INFINITY, &range.end);
	if (r)
		return r;
	*ret_range = range;
	return range.start > range.end ? QUANTITY_E_SYNTAX : 0;
}

bool range_alerts(const struct range *range, double value)
{
	bool is_inside = value >= range->start && value <= range->end;

	return range->is_set && is_inside == range->is_inverted;
}

static int parse_value(const struct option_row *row, const char *text, uint64_t *ret_value)
{
	switch (row->kind) {
	case NUMBER:
		return parse_count(text, ret_value);
	case SIZE:
		return quantity_parse_size(text, ret_value);
	case SECONDS:
	case MILLISECONDS:
		return parse_time(row->kind, text, ret_value);
	case CHOICE:
	case TIMES:
	case PERCENT:
	case FLAG:
	case FAMILY:
	case WORD:
	case HELP:
	case VERSION:
		break;
	}
	return QUANTITY_E_SYNTAX;
}

static const char *kind_example(enum kind kind)
{
	switch (kind) {
	case SECONDS:
	case MILLISECONDS:
		return "a time such as 250ms or 3s";
	case SIZE:
		return "a size such as 56 or 1k";
	case TIMES:
		return "a range of times such as 200, 1s or 10:500ms";
	case PERCENT:
		return "a range such as 20 or 30:";
	case NUMBER:
	case FLAG:
	case FAMILY:
	case WORD:
	case CHOICE:
	case HELP:
	case VERSION:
		break;
	}
	return "a whole number";
}

/* Parsing under way. */
struct parse {
	const struct command *command;
	struct options options;
	struct why *why;
};

static int set_value(struct parse *parse, const struct option_row *row, const char *text)
{
	uint64_t value;
	int r;

	r = parse_value(row, text, &value);
	if (r == QUANTITY_E_SYNTAX)
		return why_set(parse->why, CLIENT_E_USAGE, "--%s wants %s, not \"%s\"", row->name,
			kind_example(row->kind), text);
	if (r || value < row->min || value > row->max)
		return why_set(parse->why, CLIENT_E_USAGE,
			"--%s %s is out of range: from %" PRIu64 " to %" PRIu64 "%s", row->name,
			text, row->min, row->max,
			row->kind == SECONDS || row->kind == MILLISECONDS ? " ms" : "");
	memcpy((char *)&parse->options + row->at, &value, sizeof(value));
	return 0;
}

static int set_range(struct parse *parse, const struct option_row *row, const char *text)
{
	struct range *range = (struct range *)(void *)((char *)&parse->options + row->at);
	int r;

	r = parse_range(row->kind, text, range);
	if (r <= 0)
		return r;
	return why_set(parse->why, CLIENT_E_USAGE, "--%s wants %s, not \"%s\"", row->name,
		kind_example(row->kind), text);
}

/* The choices are separated by blanks. */
static int set_choice(struct parse *parse, const struct option_row *row, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = row->usual; at; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (len && strcspn(at, " ") == len && memcmp(at, text, len) == 0) {
			*(const char **)((char *)&parse->options + row->at) = text;
			return 0;
		}
	}
	return why_set(parse->why, CLIENT_E_USAGE, "--%s wants one of: %s; not \"%s\"", row->name,
		row->usual, text);
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

static int apply(struct parse *parse, const struct option_row *row)
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
	case CHOICE:
		return set_choice(parse, row, optarg);
	case TIMES:
	case PERCENT:
		return set_range(parse, row, optarg);
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
		r = apply(parse, option_row_of(command->form->form, letter));
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
		options->has_url = true;
		/* Elsewhere getopt has found them all, and is confused by being asked again. */
		r = form->form == FORM_TALK ? take_options(parse) : 0;
		if (r)
			return r;
	}

	options->rest = argv + optind;
	options->n_rest = (size_t)(parse->command->argc - optind);
	if (options->n_rest && (form->form & (FORM_CHECK | FORM_BENCH | FORM_PATH)))
		return why_set(parse->why, CLIENT_E_USAGE,
			"%s takes one URL, and there is also \"%s\"", form->name, options->rest[0]);
	return 0;
}

int command_line_parse(const struct command *command, struct options *ret_options, struct why *why)
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

static void print_usual(const struct form *form, const struct option_row *row)
{
	char text[QUANTITY_TEXT];
	uint64_t value = 0;

	if (row->kind == NUMBER || row->kind == SIZE || row->kind == SECONDS)
		memcpy(&value, (const char *)&form->defaults + row->at, sizeof(value));
	if (row->at == AT(completions))
		printf(" (one of: %s; default none)", row->usual);
	else if (row->kind == CHOICE)
		printf(" (one of: %s; default %.*s)", row->usual, (int)strcspn(row->usual, " "),
			row->usual);
	else if (row->usual)
		printf(" (default %s)", row->usual);
	else if (row->kind == SECONDS)
		printf(" (default %s)", quantity_format_time(value, text));
	else if (row->kind == NUMBER || row->kind == SIZE)
		printf(" (default %" PRIu64 ")", value);
}

void options_help(const struct form *form)
{
	printf("usage: upper %s\n%s\n\n", form->synopsis, form->summary);
	for (const struct option_row *row = rows; row < rows + N_ROWS; row++) {
		if (!(row->forms & form->form))
			continue;
		printf(row->letter ? "  -%c, " : "      ", row->letter);
		printf("--%-13s %-7s %s", row->name, row->argument ? row->argument : "", row->help);
		print_usual(form, row);
		putchar('\n');
	}
	printf("\nURL is udp://HOST[:PORT], or so with tcp, tls or dtls, or unix:PATH; without "
	       "one, the "
	       "environment's\nUPPER_SERVER, else udp://localhost. See upper(1).\n");
}

bool options_show(const struct form *form, size_t index, struct completion *ret_shown)
{
	const struct option_row *row = &rows[index];

	if (index >= N_ROWS)
		return false;
	*ret_shown = (struct completion){
		.letter = row->letter,
		.name = row->forms & form->form ? row->name : NULL,
		.argument = row->argument,
		.choices = row->kind == CHOICE ? row->usual : NULL,
		.help = row->help,
	};
	return true;
}
