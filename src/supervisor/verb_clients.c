/* SPDX-License-Identifier: Apache-2.0 */

/* "upperctl clients": open connections by client, and the clients that are turned away. The tables are written by
 * workers, so all that is read of them is numbers and addresses, whatever they hold. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "supervisor/supervisor.h"

#define ROWS_SHOWN 1000

struct client_row {
	uint8_t host[16];
	uint64_t open, offences, away_ms;
};

struct rows {
	struct client_row *list;
	size_t n;
};

static void rows_add_clients(struct rows *rows, const struct clients *clients)
{
	for (size_t slot = 0; slot < CLIENTS_SLOTS; slot++) {
		uint64_t open = clients_open(clients, slot);

		if (open == 0 || clients->hosts[slot][0] == CLIENTS_NO_CLIENT)
			continue;
		rows->list[rows->n] = (struct client_row){.open = open};
		memcpy(rows->list[rows->n++].host, clients->hosts[slot], 16);
	}
}

static struct client_row *rows_find(struct rows *rows, size_t n, const uint8_t host[16])
{
	const size_t len = host[0] == 0 ? 16 : 8;

	for (size_t i = 0; i < n; i++)
		if (memcmp(rows->list[i].host, host, len) == 0)
			return &rows->list[i];
	return NULL;
}

static void rows_add_penalties(
	struct rows *rows, const struct penalties *penalties, uint64_t now_ms)
{
	size_t n_open = rows->n;

	for (size_t slot = 0; slot < PENALTY_SLOTS; slot++) {
		const struct penalty *penalty = &penalties->slots[slot];
		uint64_t offences = penalty_offences(penalty, now_ms), until_ms;
		struct client_row *row;

		if (offences == 0)
			continue;
		row = rows_find(rows, n_open, penalty->host);
		if (!row) {
			row = &rows->list[rows->n++];
			*row = (struct client_row){0};
			memcpy(row->host, penalty->host, 16);
		}
		until_ms = atomic_load(&penalty->until_ms);
		row->offences = offences;
		row->away_ms = until_ms > now_ms ? until_ms - now_ms : 0;
	}
}

static int client_row_order(const void *a, const void *b)
{
	const struct client_row *one = a, *two = b;

	if (one->away_ms != two->away_ms)
		return one->away_ms < two->away_ms ? 1 : -1;
	if (one->open != two->open)
		return one->open < two->open ? 1 : -1;
	return memcmp(one->host, two->host, 16);
}

static const char *client_name(const uint8_t host[16], char text[static ADDR_TEXT])
{
	struct addr_prefix prefix = {.bits = 64};
	bool is_v4;

	memcpy(&prefix.base, host, 16);
	is_v4 = IN6_IS_ADDR_V4MAPPED(&prefix.base);
	if (is_v4)
		prefix.bits = 128;
	else
		memset(&prefix.base.s6_addr[8], 0, 8);
	return addr_format_prefix(&prefix, text);
}

static void print_rows(const struct rows *rows, FILE *out)
{
	char text[ADDR_TEXT];

	fprintf(out, "%-44s %8s %8s %14s\n", "client", "open", "offences", "turned away");
	for (size_t i = 0; i < rows->n && i < ROWS_SHOWN; i++)
		fprintf(out, "%-44s %8" PRIu64 " %8" PRIu64 " %12" PRIu64 " s\n",
			client_name(rows->list[i].host, text), rows->list[i].open,
			rows->list[i].offences, (rows->list[i].away_ms + 999) / 1000);
	if (rows->n > ROWS_SHOWN)
		fprintf(out, "and %zu more\n", rows->n - ROWS_SHOWN);
}

static void print_rows_json(const struct rows *rows, FILE *out)
{
	struct json json = JSON_TO(out);
	char text[ADDR_TEXT];

	json_object(&json, NULL);
	json_number(&json, "total", rows->n);
	json_list(&json, "clients");
	for (size_t i = 0; i < rows->n && i < ROWS_SHOWN; i++) {
		json_object(&json, NULL);
		json_string(&json, "client", client_name(rows->list[i].host, text));
		json_number(&json, "open", rows->list[i].open);
		json_number(&json, "offences", rows->list[i].offences);
		json_number(&json, "turned_away_ms", rows->list[i].away_ms);
		json_end(&json);
	}
	json_end(&json);
	json_end(&json);
}

static int clients_clear(struct supervisor *s, const struct control_question *question)
{
	size_t n = penalties_clear(&s->resources.shared->penalties);
	struct json json = JSON_TO(question->out);

	if (!question->json) {
		fprintf(question->out, "%zu clients forgiven\n", n);
		return EX_OK;
	}
	json_object(&json, NULL);
	json_number(&json, "forgiven", n);
	json_end(&json);
	return EX_OK;
}

int verb_clients(void *userdata, const struct control_question *question)
{
	struct supervisor *s = userdata;
	_cleanup_free_ struct client_row *list = NULL;
	struct rows rows;

	if (strcmp(question->argument, "clear") == 0)
		return question->may_change ? clients_clear(s, question) : control_deny(question);
	if (question->argument[0] != '\0') {
		fprintf(question->out, "clients knows only \"clear\"\n");
		return EX_USAGE;
	}
	list = calloc(CLIENTS_SLOTS + PENALTY_SLOTS, sizeof(*list));
	if (!list)
		return EX_OSERR;
	rows = (struct rows){.list = list};
	rows_add_clients(&rows, &s->resources.shared->clients);
	rows_add_penalties(&rows, &s->resources.shared->penalties, s->loop.now_ms);
	qsort(rows.list, rows.n, sizeof(*rows.list), client_row_order);
	if (question->json)
		print_rows_json(&rows, question->out);
	else
		print_rows(&rows, question->out);
	return EX_OK;
}
