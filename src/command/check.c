/* SPDX-License-Identifier: Apache-2.0 */

/* Does in one process what a generation does in several: reads every file, keys included, matches keys
 * to certificates, and builds the contexts. It runs for --check alone, and never serves. */

#include "command/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child/tls_files.h"
#include "config.h"
#include "process/blame.h"

struct rehearsal {
	const struct conf *conf;
	struct faults *faults;
	struct files files;
	struct papers papers;
};

static bool rehearse_one(struct rehearsal *in, struct file *file)
{
	char why[FILE_WHY] = "no memory";
	int r;

	r = file_open(file, why);
	if (r == 0)
		r = papers_take(&in->papers, &file->place, file->fd);
	if (r == 0)
		return true;
	if (r < 0)
		snprintf(why, sizeof(why), "%s: %s", file->path, strerror(-r));
	blame_file(in->conf, &file->place, FAULT_ERROR, why, in->faults);
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

static void warn_of_dates(
	const struct rehearsal *in, const struct file_place *place, const struct tls_dates *dates)
{
	time_t now = time(NULL);
	char text[FILE_WHY];

	if (dates->begins <= now && now < dates->ends)
		return;
	snprintf(text, sizeof(text), "%s: the certificate %s", file_name(in->conf, place),
		now < dates->begins ? "is not valid yet" : "has expired");
	blame_file(in->conf, place, FAULT_WARNING, text, in->faults);
}

/* Each certificate by itself, so that all that are wrong are named. */
static bool rehearse_certificates(struct rehearsal *in, size_t listener)
{
	const struct conf_listener *l = &in->conf->listeners[listener];
	bool fine = true;

	for (size_t i = 0; i < l->tls.n_certificates; i++) {
		const struct file_place place = {
			.listener = (uint32_t)listener, .index = (uint32_t)i};
		char why[TLS_WHY] = "no memory";
		struct tls_dates dates;
		int r = papers_check_certificate(&in->papers, listener, i, why, &dates);

		if (r == 0)
			warn_of_dates(in, &place, &dates);
		else if (r != PAPERS_E_MISSING)
			blame_file(in->conf, &place, FAULT_ERROR, why, in->faults);
		fine = fine && r == 0;
	}
	return fine;
}

/* As only a draft can, in which that is a fault already. */
static bool lacks_papers(const struct conf_tls *tls)
{
	return tls->n_certificates == 0 ||
		(tls->client_auth != CONF_CLIENT_NONE && !tls->client_ca);
}

static void warn_of_lists(const struct rehearsal *in, size_t listener)
{
	const struct file_place place = {.kind = FILE_CRL, .listener = (uint32_t)listener};
	char text[FILE_WHY];

	snprintf(text, sizeof(text), "%s: " PAPERS_OVER, file_name(in->conf, &place));
	blame_file(in->conf, &place, FAULT_WARNING, text, in->faults);
}

static void rehearse_listener(struct rehearsal *in, size_t listener)
{
	const struct file_place place = {.kind = FILE_NONE, .listener = (uint32_t)listener};
	char why[TLS_WHY] = "no memory";
	bool fine = rehearse_listener_files(in, listener);

	if (!rehearse_certificates(in, listener) || !fine ||
		lacks_papers(&in->conf->listeners[listener].tls))
		return;
	if (papers_build_one(&in->papers, listener, why) != 0)
		blame_file(in->conf, &place, FAULT_ERROR, why, in->faults);
	else if (papers_lists_are_over(&in->papers, listener, time(NULL)))
		warn_of_lists(in, listener);
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
