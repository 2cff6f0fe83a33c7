/* SPDX-License-Identifier: Apache-2.0 */

/* The origin of a value is "FILE:LINE", or a --set; a value without one is the default. */

#include "role/blame.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

const char *origin_of(char **origins, enum conf_scope scope, const char *key)
{
	const struct conf_row *row = conf_schema_find(scope, key);

	return origins && row ? origins[row - conf_schemas[scope].rows] : NULL;
}

void blame(const char *origin, enum fault_level level, const char *key, const char *message,
	struct faults *faults)
{
	_cleanup_free_ char *file = strdup(origin ? origin : "");
	char *colon = file ? strrchr(file, ':') : NULL;
	struct fault_place at = {.level = level, .key = key};

	if (colon && colon[1] >= '0' && colon[1] <= '9') {
		*colon = '\0';
		at.line = (unsigned)strtoul(colon + 1, NULL, 10);
	}
	at.file = file && *file ? file : NULL;
	faults_add(faults, &at, "%s", message);
}

static bool is_known(const struct faults *faults, const char *key, const char *message)
{
	for (size_t i = 0; i < faults->n; i++)
		if (faults->list[i].key && strcmp(faults->list[i].key, key) == 0 &&
			strcmp(faults->list[i].message, message) == 0)
			return true;
	return false;
}

void blame_file(const struct conf *conf, const struct file_place *place, enum fault_level level,
	const char *message, struct faults *faults)
{
	static const char *const words[] = {
		[FILE_CERTIFICATE] = "certificates",
		[FILE_KEY] = "certificates",
		[FILE_OCSP] = "certificates",
		[FILE_CLIENT_CA] = "client_ca",
		[FILE_CRL] = "crl",
		[FILE_TICKET_KEYS] = "ticket_keys",
		[FILE_NONE] = "certificates",
	};
	char **origins = conf->listeners[place->listener].tls.origins, key[FILE_WHY];

	file_key(place, conf, key);
	if (!is_known(faults, key, message))
		blame(origin_of(origins, SCOPE_TLS, words[place->kind]), level, key, message,
			faults);
}
