/* SPDX-License-Identifier: Apache-2.0 */

/* Does in one process what a generation does in several: reads every file, keys included, matches keys
 * to certificates, and builds the contexts. Runs for whoever asks for --check, and never serves.
 *
 * Who is named in the configuration is looked up at a start as well. */

#include "role/rehearsal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "conf/schema.h"
#include "config.h"
#include "priv/ident.h"
#include "role/papers.h"

struct rehearsal {
	const struct conf *conf;
	struct faults *faults;
	struct files files;
	struct papers papers;
};

/* What is at fault stands at its origin, which is "FILE:LINE", or a --set, or none: then it is the default. */
static void add_fault_at(const char *origin, enum fault_level level, const char *key,
	const char *message, struct faults *faults)
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

static const char *origin_of(char **origins, enum conf_scope scope, const char *key)
{
	const struct conf_row *row = conf_schema_find(scope, key);

	return origins && row ? origins[row - conf_schemas[scope].rows] : NULL;
}

static void add_fault(const struct rehearsal *in, enum fault_level level,
	const struct file_place *place, const char *key, const char *message)
{
	static const char *const words[] = {
		[FILE_CERTIFICATE] = "certificates",
		[FILE_KEY] = "certificates",
		[FILE_OCSP] = "certificates",
		[FILE_CLIENT_CA] = "client_ca",
		[FILE_CRL] = "crl",
		[FILE_TICKET_KEYS] = "ticket_keys",
	};
	char **origins = in->conf->listeners[place->listener].tls.origins;

	add_fault_at(
		origin_of(origins, SCOPE_TLS, words[place->kind]), level, key, message, in->faults);
}

static bool rehearse_one(struct rehearsal *in, struct file *file)
{
	char why[FILE_WHY] = "no memory", key[FILE_WHY];
	int r;

	r = file_open(file, why);
	if (r == 0)
		r = papers_take(&in->papers, &file->place, file->fd);
	if (r == 0)
		return true;
	if (r < 0)
		snprintf(why, sizeof(why), "%s: %s", file->path, strerror(-r));
	add_fault(in, FAULT_ERROR, &file->place, file_key(file, in->conf, key), why);
	return false;
}

/* True when all files of a listener could be read. */
static bool rehearse_listener_files(struct rehearsal *in, size_t listener)
{
	bool fine = true;

	for (size_t i = 0; i < in->files.n; i++)
		if (in->files.list[i].place.listener == listener)
			fine = rehearse_one(in, &in->files.list[i]) && fine;
	return fine;
}

static void warn_of_dates(const struct rehearsal *in, const struct file_place *place,
	const char *key, const struct tls_dates *dates)
{
	time_t now = time(NULL);
	char text[FILE_WHY];

	if (dates->begins <= now && now < dates->ends)
		return;
	snprintf(text, sizeof(text), "%s: the certificate %s", file_name(in->conf, place),
		now < dates->begins ? "is not valid yet" : "has expired");
	add_fault(in, FAULT_WARNING, place, key, text);
}

/* Each certificate by itself, so that all that are wrong are named. */
static bool rehearse_certificates(struct rehearsal *in, size_t listener)
{
	const struct conf_listener *l = &in->conf->listeners[listener];
	bool fine = true;

	for (size_t i = 0; i < l->tls.n_certificates; i++) {
		const struct file file = {
			.place = {.listener = (uint32_t)listener, .index = (uint32_t)i}};
		char why[TLS_WHY] = "no memory", key[FILE_WHY];
		struct tls_dates dates;
		int r = papers_check_certificate(&in->papers, listener, i, why, &dates);

		file_key(&file, in->conf, key);
		if (r == 0)
			warn_of_dates(in, &file.place, key, &dates);
		else if (r != PAPERS_E_MISSING)
			add_fault(in, FAULT_ERROR, &file.place, key, why);
		fine = fine && r == 0;
	}
	return fine;
}

static void rehearse_listener(struct rehearsal *in, size_t listener)
{
	const struct file_place place = {.listener = (uint32_t)listener};
	char why[TLS_WHY] = "no memory", key[FILE_WHY];

	bool fine = rehearse_listener_files(in, listener);

	if (!rehearse_certificates(in, listener) || !fine)
		return;
	if (papers_build_one(&in->papers, listener, why) == 0)
		return;
	snprintf(key, sizeof(key), "listeners.%s.tls", in->conf->listeners[listener].name);
	add_fault(in, FAULT_ERROR, &place, key, why);
}

void rehearse_files(const struct conf *conf, struct faults *faults)
{
	struct rehearsal in = {
		.conf = conf, .faults = faults, .files = FILES_EMPTY, .papers = PAPERS_EMPTY};

	in.papers.conf = conf;
	if (files_list(&in.files, conf) < 0)
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR}, "no memory");
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf_has_tls(&conf->listeners[i]))
			rehearse_listener(&in, i);
	papers_done(&in.papers);
	files_done(&in.files);
}

/* Workers of a root supervisor must be able to become somebody: better to hear that now. */
static void rehearse_user(const struct conf *conf, struct faults *faults)
{
	char why[FILE_WHY];
	bool is_user;
	uid_t uid;
	gid_t gid;
	int r;

	if (!ident_is_root())
		return;
	r = ident_find(conf->user, conf->group, &uid, &gid);
	if (r == 0)
		return;
	is_user = r == IDENT_E_NO_USER;
	snprintf(why, sizeof(why),
		"there is no %s \"%s\" for the workers to become; make it, as with 'adduser "
		"--system --group %s', or name another",
		is_user ? "user" : "group", is_user ? conf->user : conf->group, UPPERD_USER);
	add_fault_at(origin_of(conf->origins, SCOPE_TOP, is_user ? "user" : "group"), FAULT_ERROR,
		is_user ? "user" : "group", why, faults);
}

static void add_stranger(const struct conf_listener *l, const char *word, const char *name,
	const char *what, struct faults *faults)
{
	char key[FILE_WHY], why[FILE_WHY];

	snprintf(key, sizeof(key), "listeners.%s.%s", l->name, word);
	snprintf(why, sizeof(why), "there is no %s \"%s\" to give the socket to", what, name);
	add_fault_at(origin_of(l->origins, SCOPE_LISTENER, word), FAULT_ERROR, key, why, faults);
}

void rehearse_people(const struct conf *conf, struct faults *faults)
{
	rehearse_user(conf, faults);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		uid_t uid;
		gid_t gid;

		if (l->owner && ident_find_user(l->owner, &uid) != 0)
			add_stranger(l, "owner", l->owner, "user", faults);
		if (l->group && ident_find_group(l->group, &gid) != 0)
			add_stranger(l, "group", l->group, "group", faults);
	}
}
