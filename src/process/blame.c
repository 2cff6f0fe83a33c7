/* SPDX-License-Identifier: Apache-2.0 */

/* The origin of a value is "FILE:LINE", or a --set; a value without one is the default. */

#include "process/blame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

const char *origin_of(char **origins, enum conf_scope scope, const char *key)
{
	const struct conf_row *row = conf_schema_find(scope, key);

	return origins && row ? origins[row - conf_schemas[scope].rows] : NULL;
}

static bool is_set(const char *origin)
{
	return strncmp(origin, "--set ", 6) == 0;
}

void blame(const char *origin, enum fault_level level, const char *key, const char *message,
	struct faults *faults)
{
	_cleanup_free_ char *file = strdup(origin ? origin : "");
	char *colon = file ? strrchr(file, ':') : NULL;
	struct fault_place at = {.level = level, .key = key};

	if (colon && !is_set(file) && colon[1] >= '0' && colon[1] <= '9') {
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

static bool is_about(const char *message, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && strncmp(message, name, len) == 0 && message[len] == ':';
}

static bool find_certificate_file(
	const struct conf *conf, struct file_place *place, const char *message)
{
	for (place->kind = FILE_CERTIFICATE; place->kind <= FILE_OCSP; place->kind++)
		if (is_about(message, file_name(conf, place)))
			return true;
	return false;
}

/* Words about a file begin with its name: from there, the key that names it. */
static struct file_place find_file(
	const struct conf *conf, const struct file_place *said, const char *message)
{
	const struct conf_tls *tls = &conf->listeners[said->listener].tls;
	struct file_place place = *said;

	if (said->kind != FILE_NONE) {
		/* Of a certificate and what goes with it. */
		if (said->kind == FILE_CERTIFICATE)
			find_certificate_file(conf, &place, message);
		return place.kind <= FILE_OCSP ? place : *said;
	}
	for (place.index = 0; place.index < tls->n_certificates; place.index++)
		if (find_certificate_file(conf, &place, message))
			return place;
	place.index = 0;
	for (place.kind = FILE_CLIENT_CA; place.kind < FILE_NONE; place.kind++)
		if (is_about(message, file_name(conf, &place)))
			return place;
	return *said;
}

/* Words about a value that OpenSSL does not take begin with its key. */
static const char *find_word(const struct file_place *place, const char *message)
{
	static const char *const words[] = {"ciphers", "ciphersuites", "groups", "alpn"};

	for (size_t i = 0; place->kind == FILE_NONE && i < sizeof(words) / sizeof(*words); i++)
		if (is_about(message, words[i]))
			return words[i];
	return NULL;
}

static const char *origin_of_file(
	const struct conf *conf, const struct file_place *place, const char *word)
{
	static const char *const words[] = {
		[FILE_CERTIFICATE] = "certificate",
		[FILE_KEY] = "key",
		[FILE_OCSP] = "ocsp",
		[FILE_CLIENT_CA] = "client_ca",
		[FILE_CRL] = "crl",
		[FILE_TICKET_KEYS] = "ticket_keys",
		[FILE_NONE] = "certificates",
	};
	const struct conf_tls *tls = &conf->listeners[place->listener].tls;

	if (place->kind <= FILE_OCSP)
		return origin_of(tls->certificates[place->index].origins, SCOPE_CERTIFICATE,
			words[place->kind]);
	return origin_of(tls->origins, SCOPE_TLS, word ? word : words[place->kind]);
}

void blame_file(const struct conf *conf, const struct file_place *said, enum fault_level level,
	const char *message, struct faults *faults)
{
	const struct file_place place = find_file(conf, said, message);
	const char *word = find_word(&place, message);
	char key[FILE_WHY];

	file_key(&place, conf, key);
	if (word) {
		size_t len = strlen(key);

		snprintf(key + len, sizeof(key) - len, ".%s", word);
		message += strlen(word) + strlen(": ");
	}
	if (!is_known(faults, key, message))
		blame(origin_of_file(conf, &place, word), level, key, message, faults);
}
