/* SPDX-License-Identifier: Apache-2.0 */

/* From the files of a listener to what the TLS room wants. Files are read whole as they arrive, so
 * that nothing of them is open when serving begins. */

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

#define LONGEST_FILE (16 << 20)
#define DAY          86400

struct paper {
	struct file_place place;
	char *text;
	size_t len;
};

static void papers_forget(struct papers *papers)
{
	for (size_t i = 0; i < papers->n; i++) {
		explicit_bzero(papers->list[i].text, papers->list[i].len);
		free(papers->list[i].text);
	}
	free(papers->list);
	papers->list = NULL;
	papers->n = 0;
}

void papers_done(struct papers *papers)
{
	size_t n = papers->conf ? papers->conf->n_listeners : 0;

	papers_forget(papers);
	for (size_t i = 0; papers->contexts && i < n; i++)
		tls_context_free(papers->contexts[i]);
	for (size_t i = 0; papers->rings && i < n; i++)
		secret_unmap(papers->rings[i], sizeof(**papers->rings));
	free(papers->contexts);
	free(papers->rings);
	secret_unmap(papers->tickets, sizeof(*papers->tickets));
	tls_free(papers->tls);
	*papers = PAPERS_EMPTY;
}

static bool is_of(const struct conf *conf, const struct file_place *place)
{
	return conf && place->listener < conf->n_listeners &&
		(place->kind > FILE_OCSP ? place->kind <= FILE_TICKET_KEYS
					 : place->index <
					conf->listeners[place->listener].tls.n_certificates);
}

int papers_take(struct papers *papers, const struct file_place *place, int fd)
{
	struct paper *longer, *paper;
	int r;

	if (!is_of(papers->conf, place))
		return -EINVAL;
	longer = realloc(papers->list, (papers->n + 1) * sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	papers->list = longer;
	paper = &papers->list[papers->n];
	paper->place = *place;
	r = fd_read_all(fd, LONGEST_FILE, &paper->text, &paper->len);
	if (r < 0)
		return r;
	papers->n++;
	return 0;
}

int papers_take_tickets(struct papers *papers, int fd)
{
	const void *page;
	int r;

	if (papers->tickets)
		return -EINVAL;
	r = secret_attach(fd, sizeof(*papers->tickets), &page);
	if (r < 0)
		return r;
	papers->tickets = page;
	return 0;
}

static int papers_need_tls(struct papers *papers)
{
	return papers->tls ? 0 : tls_new(&papers->tls);
}

int papers_take_keeper(struct papers *papers, int *fd)
{
	int r = papers_need_tls(papers);

	if (r == 0)
		tls_set_keeper(papers->tls, fd);
	return r;
}

static struct tls_text text_of(
	const struct papers *papers, enum file_kind kind, size_t listener, size_t index)
{
	for (size_t i = 0; i < papers->n; i++) {
		const struct paper *p = &papers->list[i];

		if (p->place.kind == kind && p->place.listener == listener &&
			p->place.index == index)
			return (struct tls_text){
				file_name(papers->conf, &p->place), p->text, p->len};
	}
	return (struct tls_text){0};
}

static uint32_t key_id_of(const struct papers *papers, size_t listener, size_t index)
{
	for (size_t i = 0; i < papers->n; i++) {
		const struct file_place *place = &papers->list[i].place;

		if (place->kind == FILE_CERTIFICATE && place->listener == listener &&
			place->index == index)
			return place->key_id;
	}
	return UINT32_MAX;
}

/* One to three keys, the newest first: it seals, and all open. */
static int ring_of_file(
	const struct tls_text *text, char why[static TLS_WHY], struct ticket_ring **ret_ring)
{
	uint32_t n = (uint32_t)(text->len / TICKET_KEY);
	struct ticket_ring *ring;
	void *memory;
	int r;

	if (text->len % TICKET_KEY != 0 || n < 1 || n > TICKET_HONOURED) {
		snprintf(why, TLS_WHY,
			"%s: %zu bytes; one to %d keys of %d bytes each are needed, the newest "
			"first",
			text->name, text->len, TICKET_HONOURED, TICKET_KEY);
		return TLS_E_REFUSED;
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

static int ring_of(struct papers *papers, size_t listener, char why[static TLS_WHY],
	const struct ticket_ring **ret_ring)
{
	const struct conf_tls *tls = &papers->conf->listeners[listener].tls;
	struct tls_text file = text_of(papers, FILE_TICKET_KEYS, listener, 0);
	int r;

	*ret_ring = NULL;
	if (!tls->tickets)
		return 0;
	if (!file.name) {
		*ret_ring = papers->tickets
			? ticket_page_find(papers->tickets, tls->ticket_lifetime_ms)
			: NULL;
		return 0;
	}
	r = papers->rings[listener] ? 0 : ring_of_file(&file, why, &papers->rings[listener]);
	*ret_ring = papers->rings[listener];
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
	const struct papers *papers, size_t listener, size_t index)
{
	const struct conf_listener *l = &papers->conf->listeners[listener];
	struct tls_certificate_spec spec = {
		.chain = text_of(papers, FILE_CERTIFICATE, listener, index),
		.key = text_of(papers, FILE_KEY, listener, index),
		.ocsp = text_of(papers, FILE_OCSP, listener, index),
		.key_id = key_id_of(papers, listener, index),
	};

	/* Its name is for words; a worker never has its text. */
	spec.key.name = l->tls.certificates[index].key;
	return spec;
}

static int papers_prepare(struct papers *papers)
{
	size_t n = papers->conf->n_listeners;

	if (!papers->contexts)
		papers->contexts = calloc(n, sizeof(struct tls_context *));
	if (!papers->rings)
		papers->rings = calloc(n, sizeof(struct ticket_ring *));
	return papers->contexts && papers->rings ? papers_need_tls(papers) : -ENOMEM;
}

/* Some of a listener's certificates, and where their context goes. */
struct part {
	size_t listener, first, n;
	struct tls_context **ret_context;
};

static int papers_build_part(
	struct papers *papers, const struct part *part, char why[static TLS_WHY])
{
	size_t listener = part->listener;
	const struct conf_tls *tls = &papers->conf->listeners[listener].tls;
	_cleanup_free_ struct tls_certificate_spec *certificates =
		calloc(part->n, sizeof(*certificates));
	struct tls_spec spec = {
		.certificates = certificates,
		.n_certificates = part->n,
		.is_datagram = papers->conf->listeners[listener].transport == CONF_DTLS,
		.only_1_3 = tls->min_version == CONF_TLS_1_3,
		.ciphers = tls->ciphers,
		.ciphersuites = tls->ciphersuites,
		.groups = tls->groups,
		.alpn = (const char *const *)tls->alpn,
		.n_alpn = tls->n_alpn,
		.client_auth = auth_of(tls),
		.client_ca = text_of(papers, FILE_CLIENT_CA, listener, 0),
		.crl = text_of(papers, FILE_CRL, listener, 0),
		.ticket_lifetime_ms = tls->ticket_lifetime_ms,
		.refuse_expired = papers->refuse_expired,
	};
	int r;

	r = certificates ? ring_of(papers, listener, why, &spec.tickets) : -ENOMEM;
	if (r != 0)
		return r;
	for (size_t i = 0; i < part->n; i++)
		certificates[i] = certificate_of(papers, listener, part->first + i);
	return tls_context_new(papers->tls, &spec, why, part->ret_context);
}

int papers_build_one(struct papers *papers, size_t listener, char why[static TLS_WHY])
{
	int r = papers_prepare(papers);
	const struct part all = {
		.listener = listener,
		.n = papers->conf->listeners[listener].tls.n_certificates,
		.ret_context = papers->contexts ? &papers->contexts[listener] : NULL,
	};

	return r == 0 ? papers_build_part(papers, &all, why) : r;
}

int papers_check_certificate(struct papers *papers, size_t listener, size_t index,
	char why[static TLS_WHY], struct tls_dates *ret_dates)
{
	const struct tls_certificate_spec spec = certificate_of(papers, listener, index);
	int r = papers_prepare(papers);

	if (!spec.chain.data || !spec.key.data)
		return PAPERS_E_MISSING;
	return r == 0 ? tls_check_certificate(papers->tls, &spec, why, ret_dates) : r;
}

/* Together they were refused for the first that will not do: each is tried alone. */
static void papers_blame_each(struct papers *papers, const struct file_place *place,
	void (*on_fault)(const struct file_place *place, const char *what))
{
	size_t n = papers->conf->listeners[place->listener].tls.n_certificates;

	for (size_t i = 0; i < n; i++) {
		struct tls_context *context = NULL;
		const struct part alone = {place->listener, i, 1, &context};
		char what[TLS_WHY];

		if (papers_build_part(papers, &alone, what) == TLS_E_REFUSED)
			on_fault(place, what);
		tls_context_free(context);
	}
}

static int papers_build_listener(struct papers *papers, size_t listener,
	void (*on_fault)(const struct file_place *place, const char *what),
	char why[static TLS_WHY])
{
	const struct file_place place = {.kind = FILE_NONE, .listener = (uint32_t)listener};
	char what[TLS_WHY];
	int r;

	r = papers_build_one(papers, listener, what);
	if (r != TLS_E_REFUSED)
		return r;
	on_fault(&place, what);
	papers_blame_each(papers, &place, on_fault);
	/* A word of the configuration that is refused has no file to be known by. */
	snprintf(why, TLS_WHY, "listeners.%.64s.tls: %.400s",
		papers->conf->listeners[listener].name, what);
	return TLS_E_REFUSED;
}

int papers_build(struct papers *papers,
	void (*on_fault)(const struct file_place *place, const char *what),
	char why[static TLS_WHY])
{
	int r = 0;

	for (size_t i = 0; i < papers->conf->n_listeners && r >= 0; i++) {
		int one = 0;

		if (conf_has_tls(&papers->conf->listeners[i]))
			one = papers_build_listener(papers, i, on_fault, why);
		r = one != 0 ? one : r;
	}
	papers_forget(papers);
	return r;
}

bool papers_lists_are_over(const struct papers *papers, size_t listener, time_t now)
{
	const struct tls_context *context = papers->contexts ? papers->contexts[listener] : NULL;
	time_t end = context ? tls_context_lists_end(context) : 0;

	return end != 0 && end <= now;
}

time_t papers_expiry(const struct papers *papers)
{
	size_t n = papers->contexts ? papers->conf->n_listeners : 0;
	time_t first = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name;
		time_t expiry;

		if (!papers->contexts[i])
			continue;
		expiry = tls_context_expiry(papers->contexts[i], &name);
		if (first == 0 || expiry < first)
			first = expiry;
	}
	return first;
}

void papers_list_certificates(const struct papers *papers, struct counters *counters)
{
	size_t n = papers->contexts ? papers->conf->n_listeners : 0;
	struct tls_dates dates;
	const char *name;

	counters->n_certificates = 0;
	for (size_t i = 0; i < n; i++) {
		if (!papers->contexts[i])
			continue;
		for (size_t c = 0; counters->n_certificates < CERTIFICATES_SHOWN &&
			(name = tls_context_certificate(papers->contexts[i], c, &dates));
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

/* The next of the days at which it is told; 0 when there is time enough. */
static unsigned days_to_tell(int64_t days)
{
	static const unsigned steps[] = {1, 7, 14, 30};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		if (days < steps[i])
			return steps[i];
	return 0;
}

static void tell_expiry(const struct conf_listener *l, const char *name, int64_t left)
{
	if (left <= 0)
		log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name),
			"%s: the certificate has expired", name);
	else
		log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name),
			"%s: the certificate expires in %lld day(s)", name,
			(long long)(left + DAY - 1) / DAY);
}

static void tell_lists(struct papers *papers, time_t now)
{
	bool any = false;

	for (size_t i = 0; i < papers->conf->n_listeners; i++) {
		const struct conf_listener *l = &papers->conf->listeners[i];

		if (!papers_lists_are_over(papers, i, now))
			continue;
		any = true;
		if (!papers->lists_told)
			log_event(EVENT_CERTIFICATE_EXPIRES, ABOUT(.listener = l->name),
				"%s: " PAPERS_OVER, l->tls.crl);
	}
	papers->lists_told = any;
}

void papers_tell_expiry(struct papers *papers, time_t now)
{
	size_t n = papers->contexts ? papers->conf->n_listeners : 0;
	unsigned told = 0;

	for (size_t i = 0; i < n; i++) {
		const char *name = NULL;
		int64_t left;
		unsigned days;

		if (!papers->contexts[i])
			continue;
		left = tls_context_expiry(papers->contexts[i], &name) - now;
		days = days_to_tell(left < 0 ? -1 : left / DAY);
		if (days > 0 && (papers->days_told == 0 || days < papers->days_told))
			tell_expiry(&papers->conf->listeners[i], name, left);
		if (days > 0 && (told == 0 || days < told))
			told = days;
	}
	papers->days_told = told;
	tell_lists(papers, now);
}
