/* SPDX-License-Identifier: Apache-2.0 */

/* The files of listeners with TLS, and the contexts made of them. Files are read whole as they
 * arrive, so that none is open when serving begins, and are forgotten once the contexts are
 * there: what an attacker could read in a worker later is the certificates, which are public,
 * and the keys of tickets.
 *
 * A worker gets certificates and no keys: the context of a certificate has the number of its key
 * instead, by which the keeper knows it. --check reads keys too, and does in one process what a
 * generation does in several.
 *
 * Faults are found at two places. The OpenSSL room says which part of a context it refuses (enum
 * tls_part) and why; tls_files_place() turns this into a place of the configuration, so that the
 * supervisor can name file, key and line without having looked into any certificate. A context
 * is refused for the first certificate that will not do; then each is tried alone, so that an
 * operator is told of all of them at once. */

#include "child/tls_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/why.h"

#define LONGEST_FILE (16 << 20)
#define DAY          86400

/* The last record of a certificate. */
struct expiry_log {
	time_t at; /* 0: there was none */
	unsigned stage;
};

struct tls_file {
	struct file_place place;
	char *text;
	size_t len;
};

static void tls_files_forget(struct tls_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		explicit_bzero(files->list[i].text, files->list[i].len);
		free(files->list[i].text);
	}
	free(files->list);
	files->list = NULL;
	files->n = 0;
}

void tls_files_done(struct tls_files *files)
{
	size_t n = files->conf ? files->conf->n_listeners : 0;

	tls_files_forget(files);
	for (size_t i = 0; files->contexts && i < n; i++)
		tls_context_free(files->contexts[i]);
	for (size_t i = 0; files->rings && i < n; i++)
		secret_unmap(files->rings[i], sizeof(**files->rings));
	for (size_t i = 0; files->logged && i < n; i++)
		free(files->logged[i]);
	free(files->contexts);
	free(files->rings);
	free(files->logged);
	secret_unmap(files->tickets, sizeof(*files->tickets));
	tls_free(files->tls);
	*files = TLS_FILES_EMPTY;
}

int tls_files_read(struct tls_files *files, const struct file_place *place, int fd)
{
	struct tls_file *longer, *file;
	int r;

	if (place->kind > FILE_TICKET_KEYS || !file_place_exists(files->conf, place))
		return -EINVAL;
	longer = realloc(files->list, (files->n + 1) * sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	files->list = longer;
	file = &files->list[files->n];
	file->place = *place;
	r = fd_read_all(fd, LONGEST_FILE, &file->text, &file->len);
	if (r < 0)
		return r;
	files->n++;
	return 0;
}

int tls_files_set_tickets(struct tls_files *files, int fd)
{
	const void *page;
	int r;

	if (files->tickets)
		return -EINVAL;
	r = secret_attach(fd, sizeof(*files->tickets), &page);
	if (r < 0)
		return r;
	files->tickets = page;
	return 0;
}

static int tls_files_need_tls(struct tls_files *files)
{
	return files->tls ? 0 : tls_new(&files->tls);
}

int tls_files_set_keeper(struct tls_files *files, int *fd)
{
	int r = tls_files_need_tls(files);

	return r < 0 ? r : tls_set_keeper(files->tls, fd);
}

int tls_files_serve(struct tls_files *files, struct loop *loop)
{
	return files->tls ? tls_serve(files->tls, loop) : 0;
}

static const enum tls_part part_of[] = {
	[FILE_CERTIFICATE] = TLS_CERTIFICATE,
	[FILE_KEY] = TLS_KEY,
	[FILE_OCSP] = TLS_OCSP,
	[FILE_CLIENT_CA] = TLS_CLIENT_CA,
	[FILE_CRL] = TLS_CRL,
	[FILE_TICKET_KEYS] = TLS_TICKET_KEYS,
	[FILE_CIPHERS] = TLS_CIPHERS,
	[FILE_CIPHERSUITES] = TLS_CIPHERSUITES,
	[FILE_GROUPS] = TLS_GROUPS,
};

struct file_place tls_files_place(size_t listener, const struct tls_fault *fault)
{
	struct file_place place = {.listener = (uint32_t)listener};

	while (place.kind < N_FILE_KINDS - 1 && part_of[place.kind] != fault->part)
		place.kind++;
	if (place.kind <= FILE_OCSP)
		place.index = (uint32_t)fault->index;
	return place;
}

static struct tls_text text_of(
	const struct tls_files *files, enum file_kind kind, size_t listener, size_t index)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct tls_file *p = &files->list[i];

		if (p->place.kind == kind && p->place.listener == listener &&
			p->place.index == index)
			return (struct tls_text){
				.name = file_name(files->conf, &p->place),
				.data = p->text,
				.len = p->len,
				.part = part_of[kind],
				.index = index,
			};
	}
	return (struct tls_text){0};
}

static uint32_t key_id_of(const struct tls_files *files, size_t listener, size_t index)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct file_place *place = &files->list[i].place;

		if (place->kind == FILE_CERTIFICATE && place->listener == listener &&
			place->index == index)
			return place->key_id;
	}
	return UINT32_MAX;
}

/* One to three keys, the newest first: it seals, and all open. */
static int ring_of_file(
	const struct tls_text *text, struct tls_fault *fault, struct ticket_ring **ret_ring)
{
	uint32_t n = (uint32_t)(text->len / TICKET_KEY);
	struct ticket_ring *ring;
	void *memory;
	int r;

	if (text->len % TICKET_KEY != 0 || n < 1 || n > TICKET_HONOURED) {
		fault->part = TLS_TICKET_KEYS;
		return why_set(&fault->why, TLS_E_REFUSED,
			"%s: %zu bytes; one to %d keys of %d bytes each are needed, the newest "
			"first",
			text->name, text->len, TICKET_HONOURED, TICKET_KEY);
	}
	r = secret_map(sizeof(*ring), &memory);
	if (r < 0)
		return r;
	ring = memory;
	for (uint32_t i = 0; i < n; i++)
		memcpy(&ring->keys[(n - i) % TICKET_PLACES], text->data + i * TICKET_KEY,
			TICKET_KEY);
	atomic_store(&ring->newest, n);
	*ret_ring = ring;
	return 0;
}

static int ring_of(struct tls_files *files, size_t listener, struct tls_fault *fault,
	const struct ticket_ring **ret_ring)
{
	const struct conf_tls *tls = &files->conf->listeners[listener].tls;
	struct tls_text file = text_of(files, FILE_TICKET_KEYS, listener, 0);
	int r;

	*ret_ring = NULL;
	if (!tls->tickets)
		return 0;
	if (!file.name) {
		*ret_ring = files->tickets
			? ticket_page_find(files->tickets, tls->ticket_lifetime_ms)
			: NULL;
		return 0;
	}
	r = files->rings[listener] ? 0 : ring_of_file(&file, fault, &files->rings[listener]);
	*ret_ring = files->rings[listener];
	return r;
}

static enum tls_client_auth auth_of(const struct conf_tls *tls)
{
	static const enum tls_client_auth auths[] = {
		[CONF_CLIENT_NONE] = TLS_CLIENT_NONE,
		[CONF_CLIENT_OPTIONAL] = TLS_CLIENT_OPTIONAL,
		[CONF_CLIENT_REQUIRED] = TLS_CLIENT_REQUIRED,
	};

	return auths[tls->client_auth];
}

static struct tls_certificate_spec certificate_of(
	const struct tls_files *files, size_t listener, size_t index)
{
	const struct conf_listener *l = &files->conf->listeners[listener];
	struct tls_certificate_spec spec = {
		.chain = text_of(files, FILE_CERTIFICATE, listener, index),
		.key = text_of(files, FILE_KEY, listener, index),
		.ocsp = text_of(files, FILE_OCSP, listener, index),
		.key_id = key_id_of(files, listener, index),
	};

	/* For messages: a worker never has its text. */
	spec.key.name = l->tls.certificates[index].key;
	return spec;
}

static int tls_files_prepare(struct tls_files *files)
{
	size_t n = files->conf->n_listeners;

	if (!files->contexts)
		files->contexts = calloc(n, sizeof(struct tls_context *));
	if (!files->rings)
		files->rings = calloc(n, sizeof(struct ticket_ring *));
	if (!files->logged)
		files->logged = calloc(n, sizeof(struct expiry_log *));
	return files->contexts && files->rings && files->logged ? tls_files_need_tls(files)
								: -ENOMEM;
}

/* Some of a listener's certificates, and where their context goes. */
struct part {
	size_t listener, first, n;
	struct tls_context **ret_context;
};

static int build_part(struct tls_files *files, const struct part *part, struct tls_fault *fault)
{
	size_t listener = part->listener;
	const struct conf_tls *tls = &files->conf->listeners[listener].tls;
	_cleanup_free_ struct tls_certificate_spec *certificates =
		calloc(part->n, sizeof(*certificates));
	struct tls_spec spec = {
		.certificates = certificates,
		.n_certificates = part->n,
		.is_datagram = files->conf->listeners[listener].transport == CONF_DTLS,
		.only_1_3 = tls->min_version == CONF_TLS_1_3,
		.ciphers = tls->ciphers,
		.ciphersuites = tls->ciphersuites,
		.groups = tls->groups,
		.alpn = (const char *const *)tls->alpn,
		.n_alpn = tls->n_alpn,
		.client_auth = auth_of(tls),
		.client_ca = text_of(files, FILE_CLIENT_CA, listener, 0),
		.crl = text_of(files, FILE_CRL, listener, 0),
		.client_names = (const char *const *)tls->client_names,
		.n_client_names = tls->n_client_names,
		.ticket_lifetime_ms = tls->ticket_lifetime_ms,
		.refuse_expired = files->refuse_expired,
	};
	int r;

	r = certificates ? ring_of(files, listener, fault, &spec.tickets) : -ENOMEM;
	if (r != 0)
		return r;
	for (size_t i = 0; i < part->n; i++)
		certificates[i] = certificate_of(files, listener, part->first + i);
	return tls_context_new(files->tls, &spec, fault, part->ret_context);
}

int tls_files_build_one(struct tls_files *files, size_t listener, struct tls_fault *fault)
{
	int r = tls_files_prepare(files);
	const struct part all = {
		.listener = listener,
		.n = files->conf->listeners[listener].tls.n_certificates,
		.ret_context = files->contexts ? &files->contexts[listener] : NULL,
	};

	return r == 0 ? build_part(files, &all, fault) : r;
}

int tls_files_check_certificate(struct tls_files *files, size_t listener, size_t index,
	struct tls_fault *fault, struct tls_dates *ret_dates)
{
	const struct tls_certificate_spec spec = certificate_of(files, listener, index);
	int r = tls_files_prepare(files);

	if (!spec.chain.data || !spec.key.data)
		return TLS_FILES_E_MISSING;
	return r == 0 ? tls_check_certificate(files->tls, &spec, fault, ret_dates) : r;
}

/* A context is refused for the first certificate that will not do: each is tried alone. */
static void report_each(struct tls_files *files, size_t listener,
	void (*on_fault)(const struct file_place *place, const char *what))
{
	size_t n = files->conf->listeners[listener].tls.n_certificates;

	for (size_t i = 0; i < n; i++) {
		struct tls_context *context = NULL;
		const struct part alone = {listener, i, 1, &context};
		struct tls_fault fault = {0};

		if (build_part(files, &alone, &fault) == TLS_E_REFUSED) {
			const struct file_place place = tls_files_place(listener, &fault);

			on_fault(&place, fault.why.text);
		}
		tls_context_free(context);
	}
}

static int build_listener(struct tls_files *files, size_t listener,
	void (*on_fault)(const struct file_place *place, const char *what), struct why *why)
{
	struct tls_fault fault = {0};
	struct file_place place;
	char key[FILE_KEY_TEXT];
	int r;

	r = tls_files_build_one(files, listener, &fault);
	if (r != TLS_E_REFUSED)
		return r;
	place = tls_files_place(listener, &fault);
	on_fault(&place, fault.why.text);
	report_each(files, listener, on_fault);
	return why_set(why, TLS_E_REFUSED, "%.108s: %.400s", file_key(&place, files->conf, key),
		fault.why.text);
}

int tls_files_build(struct tls_files *files,
	void (*on_fault)(const struct file_place *place, const char *what), struct why *why)
{
	int r = 0;

	for (size_t i = 0; i < files->conf->n_listeners && r >= 0; i++) {
		int one = 0;

		if (conf_has_tls(&files->conf->listeners[i]))
			one = build_listener(files, i, on_fault, why);
		r = one != 0 ? one : r;
	}
	tls_files_forget(files);
	return r;
}

bool tls_files_crl_expired(const struct tls_files *files, size_t listener, time_t now)
{
	const struct tls_context *context = files->contexts ? files->contexts[listener] : NULL;
	time_t end = context ? tls_context_lists_end(context) : 0;

	return end != 0 && end <= now;
}

time_t tls_files_expiry(const struct tls_files *files)
{
	size_t n = files->contexts ? files->conf->n_listeners : 0;
	time_t first = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name;
		time_t expiry;

		if (!files->contexts[i])
			continue;
		expiry = tls_context_expiry(files->contexts[i], &name);
		if (first == 0 || expiry < first)
			first = expiry;
	}
	return first;
}

void tls_files_set_timing(struct tls_files *files, struct timing *timing)
{
	if (files->tls)
		tls_set_timing(files->tls, timing);
}

void tls_files_list_certificates(const struct tls_files *files, struct counters *counters)
{
	size_t n = files->contexts ? files->conf->n_listeners : 0;
	struct tls_dates dates;
	const char *name;

	counters->n_certificates = 0;
	for (size_t i = 0; i < n; i++) {
		if (!files->contexts[i])
			continue;
		for (size_t c = 0; counters->n_certificates < CERTIFICATES_SHOWN &&
			(name = tls_context_certificate(files->contexts[i], c, &dates));
			c++) {
			struct certificate_entry *entry =
				&counters->certificates[counters->n_certificates++];

			*entry = (struct certificate_entry){
				.listener = (uint32_t)i,
				.begins = dates.begins,
				.ends = dates.ends,
			};
			snprintf(entry->name, sizeof(entry->name), "%s", name);
		}
	}
}

static void warn_of_certificates(const struct tls_files *files, size_t listener, time_t now,
	void (*on_warning)(const struct file_place *place, const char *text))
{
	struct tls_dates dates;
	struct why why;

	for (size_t c = 0; tls_context_certificate(files->contexts[listener], c, &dates); c++) {
		const struct file_place place = {
			.listener = (uint32_t)listener, .index = (uint32_t)c};

		if (dates.begins <= now && now < dates.ends)
			continue;
		why_set(&why, 0, "%s: the certificate %s", file_name(files->conf, &place),
			now < dates.begins ? "is not valid yet" : "has expired");
		on_warning(&place, why.text);
	}
}

void tls_files_warn(const struct tls_files *files, time_t now,
	void (*on_warning)(const struct file_place *place, const char *text))
{
	size_t n = files->contexts ? files->conf->n_listeners : 0;

	for (size_t i = 0; i < n; i++) {
		const struct file_place place = {.kind = FILE_CRL, .listener = (uint32_t)i};
		struct why why;

		if (!files->contexts[i])
			continue;
		warn_of_certificates(files, i, now, on_warning);
		if (!tls_files_crl_expired(files, i, now))
			continue;
		why_set(&why, 0, "%s: " CRL_EXPIRED, file_name(files->conf, &place));
		on_warning(&place, why.text);
	}
}

/* How near a certificate is to its end: a third, a sixth, a twelfth of its lifetime is left, or a day, or
 * none. 0: time enough. */
static unsigned expiry_stage(const struct tls_dates *dates, time_t now)
{
	const int64_t lifetime = dates->ends - dates->begins, left = dates->ends - now;

	if (left <= 0)
		return 5;
	if (left <= DAY && left < lifetime / 3)
		return 4;
	return (left <= lifetime / 3) + (left <= lifetime / 6) + (left <= lifetime / 12);
}

static void log_certificate(const struct conf_listener *l, const char *name,
	const struct tls_dates *dates, int64_t left)
{
	struct log_facts facts = {0};

	log_fact_set(&facts, expires, (uint64_t)dates->ends);
	if (left <= 0)
		log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name, .facts = &facts),
			"%s: the certificate has expired", name);
	else
		log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name, .facts = &facts),
			"%s: the certificate expires in %lld day(s)", name,
			(long long)(left + DAY - 1) / DAY);
}

static void log_crls(struct tls_files *files, time_t now)
{
	bool any = false;

	for (size_t i = 0; i < files->conf->n_listeners; i++) {
		const struct conf_listener *l = &files->conf->listeners[i];

		if (!tls_files_crl_expired(files, i, now))
			continue;
		any = true;
		if (!files->crl_logged)
			log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name),
				"%s: " CRL_EXPIRED, l->tls.crl);
	}
	files->crl_logged = any;
}

/* Each stage is logged once, and no two on one day. */
static void log_stage(struct tls_files *files, size_t listener, size_t index, time_t now)
{
	struct expiry_log *log = &files->logged[listener][index];
	const char *name;
	struct tls_dates dates;
	unsigned stage;

	name = tls_context_certificate(files->contexts[listener], index, &dates);
	stage = name ? expiry_stage(&dates, now) : 0;
	if (stage <= log->stage || (log->at != 0 && now - log->at < DAY))
		return;
	log_certificate(&files->conf->listeners[listener], name, &dates, dates.ends - now);
	*log = (struct expiry_log){now, stage};
}

void tls_files_log_expiry(struct tls_files *files, time_t now)
{
	size_t n = files->contexts ? files->conf->n_listeners : 0;

	for (size_t i = 0; i < n; i++) {
		const struct conf_tls *tls = &files->conf->listeners[i].tls;

		if (files->contexts[i] && !files->logged[i])
			files->logged[i] = calloc(tls->n_certificates, sizeof(*files->logged[i]));
		for (size_t c = 0; files->logged[i] && c < tls->n_certificates; c++)
			log_stage(files, i, c, now);
	}
	log_crls(files, now);
}
