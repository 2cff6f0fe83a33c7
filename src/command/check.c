/* SPDX-License-Identifier: Apache-2.0 */

/* --check of the files of TLS: one process does the work of a generation. It reads every file, keys
 * included, matches keys to certificates, and builds the contexts; it never serves. */

#include "command/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/why.h"
#include "child/tls_files.h"
#include "config.h"
#include "process/files.h"

struct check_run {
	const struct conf *conf;
	struct faults *faults;
	struct files files;
	struct tls_files tls_files;
};

static bool check_file(struct check_run *run, struct file *file)
{
	struct why why = {"no memory"};
	int r;

	r = file_open(file, &why);
	if (r == 0)
		r = tls_files_read(&run->tls_files, &file->place, file->fd);
	if (r == 0)
		return true;
	if (r < 0)
		why_set(&why, 0, "%s: %s", file->path, strerror(-r));
	fault_at_file(run->conf, &file->place, FAULT_ERROR, why.text, run->faults);
	return false;
}

/* True when all files of a listener could be read. */
static bool check_listener_files(struct check_run *run, size_t listener)
{
	bool fine = true;

	for (size_t i = 0; i < run->files.n; i++)
		if (run->files.list[i].place.listener == listener)
			fine = check_file(run, &run->files.list[i]) && fine;
	return fine;
}

static void add_fault(struct check_run *run, size_t listener, const struct tls_fault *fault,
	enum fault_level level)
{
	const struct file_place place = tls_files_place(listener, fault);

	fault_at_file(run->conf, &place, level, fault->why.text, run->faults);
}

static void warn_of_dates(
	struct check_run *run, const struct file_place *place, const struct tls_dates *dates)
{
	time_t now = time(NULL);
	struct why why;

	if (dates->begins <= now && now < dates->ends)
		return;
	why_set(&why, 0, "%s: the certificate %s", file_name(run->conf, place),
		now < dates->begins ? "is not valid yet" : "has expired");
	fault_at_file(run->conf, place, FAULT_WARNING, why.text, run->faults);
}

/* Each certificate by itself, so that all that are wrong are named. */
static bool check_certificates(struct check_run *run, size_t listener)
{
	const struct conf_listener *l = &run->conf->listeners[listener];
	bool fine = true;

	for (size_t i = 0; i < l->tls.n_certificates; i++) {
		const struct file_place place = {
			.listener = (uint32_t)listener, .index = (uint32_t)i};
		struct tls_fault fault = {.index = i, .why = {"no memory"}};
		struct tls_dates dates;
		int r = tls_files_check_certificate(&run->tls_files, listener, i, &fault, &dates);

		if (r == 0)
			warn_of_dates(run, &place, &dates);
		else if (r != TLS_FILES_E_MISSING)
			add_fault(run, listener, &fault, FAULT_ERROR);
		fine = fine && r == 0;
	}
	return fine;
}

/* As only a draft can, in which that is a fault already. */
static bool lacks_files(const struct conf_tls *tls)
{
	return tls->n_certificates == 0 ||
		(tls->client_auth != CONF_CLIENT_NONE && !tls->client_ca &&
			tls->n_client_names == 0);
}

static void warn_of_crl(struct check_run *run, size_t listener)
{
	const struct file_place place = {.kind = FILE_CRL, .listener = (uint32_t)listener};
	struct why why;

	why_set(&why, 0, "%s: " CRL_EXPIRED, file_name(run->conf, &place));
	fault_at_file(run->conf, &place, FAULT_WARNING, why.text, run->faults);
}

static void check_tls_listener(struct check_run *run, size_t listener)
{
	struct tls_fault fault = {.why = {"no memory"}};
	bool fine = check_listener_files(run, listener);

	if (!check_certificates(run, listener) || !fine ||
		lacks_files(&run->conf->listeners[listener].tls))
		return;
	if (tls_files_build_one(&run->tls_files, listener, &fault) != 0)
		add_fault(run, listener, &fault, FAULT_ERROR);
	else if (tls_files_crl_expired(&run->tls_files, listener, time(NULL)))
		warn_of_crl(run, listener);
}

void check_files(const struct conf *conf, struct faults *faults)
{
	struct check_run run = {
		.conf = conf,
		.faults = faults,
		.files = FILES_EMPTY,
		.tls_files = TLS_FILES_EMPTY,
	};

	run.tls_files.conf = conf;
	if (files_list(&run.files, conf) < 0)
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR}, "no memory");
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf_has_tls(&conf->listeners[i]))
			check_tls_listener(&run, i);
	tls_files_done(&run.tls_files);
	files_done(&run.files);
}
