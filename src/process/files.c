/* SPDX-License-Identifier: Apache-2.0 */

/* The files that a configuration names, from a path to sealed memory. The supervisor opens them,
 * looks at their permissions, and has the kernel copy them: it reads nothing of them, so that no
 * certificate can attack it. Children get the copies, those that replace others too: a file that
 * is written over in place, or half-way, cannot change what a generation was made from.
 *
 * A file is known by its place in the configuration: kind, listener, and index among the
 * listener's certificates. A child that finds a fault names the place, and the text about it,
 * with path and key, is made here, in the process that has the configuration. One list of files
 * serves a generation, --check and the watch for replaced files. */

#include "process/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/why.h"

#define CREDENTIAL   "credential:"
#define LONGEST_FILE (16 << 20)

static const struct {
	const char *word;
	bool is_secret;
} kinds[] = {
	[FILE_CERTIFICATE] = {"certificate"},
	[FILE_KEY] = {"key", true},
	[FILE_OCSP] = {"ocsp"},
	[FILE_CLIENT_CA] = {"client_ca"},
	[FILE_CRL] = {"crl"},
	[FILE_TICKET_KEYS] = {"ticket_keys", true},
	[FILE_CIPHERS] = {"ciphers"},
	[FILE_CIPHERSUITES] = {"ciphersuites"},
	[FILE_GROUPS] = {"groups"},
};

static bool is_credential(const char *name)
{
	return strncmp(name, CREDENTIAL, strlen(CREDENTIAL)) == 0;
}

static char *path_of(const char *name)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char *path;

	if (!is_credential(name))
		return strdup(name);
	if (asprintf(&path, "%s/%s", folder ? folder : "/nonexistent", name + strlen(CREDENTIAL)) <
		0)
		return NULL;
	return path;
}

static int files_add(struct files *files, const char *name, struct file_place place)
{
	struct file *longer;

	if (!name)
		return 0;
	longer = realloc(files->list, (files->n + 1) * sizeof(*longer));
	if (!longer)
		return -ENOMEM;
	files->list = longer;
	files->list[files->n] =
		(struct file){.place = place, .name = name, .path = path_of(name), .fd = -1};
	if (!files->list[files->n].path)
		return -ENOMEM;
	files->n++;
	return 0;
}

static int files_list_listener(struct files *files, const struct conf_tls *tls, uint32_t listener)
{
	int r = 0;

	for (uint32_t i = 0; i < tls->n_certificates && r == 0; i++) {
		const struct conf_certificate *c = &tls->certificates[i];
		uint32_t id = files->n_keys++;

		r = files_add(files, c->certificate,
			(struct file_place){FILE_CERTIFICATE, listener, i, id});
		if (r == 0)
			r = files_add(
				files, c->key, (struct file_place){FILE_KEY, listener, i, id});
		if (r == 0)
			r = files_add(
				files, c->ocsp, (struct file_place){FILE_OCSP, listener, i, id});
	}
	if (r == 0 && tls->client_auth != CONF_CLIENT_NONE)
		r = files_add(files, tls->client_ca,
			(struct file_place){.kind = FILE_CLIENT_CA, .listener = listener});
	if (r == 0 && tls->client_auth != CONF_CLIENT_NONE)
		r = files_add(files, tls->crl,
			(struct file_place){.kind = FILE_CRL, .listener = listener});
	if (r == 0 && tls->tickets)
		r = files_add(files, tls->ticket_keys,
			(struct file_place){.kind = FILE_TICKET_KEYS, .listener = listener});
	return r;
}

int files_list(struct files *files, const struct conf *conf)
{
	int r = 0;

	for (size_t i = 0; i < conf->n_listeners && r == 0; i++)
		if (conf_has_tls(&conf->listeners[i]))
			r = files_list_listener(files, &conf->listeners[i].tls, (uint32_t)i);
	return r;
}

void files_done(struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		free(files->list[i].path);
		if (files->list[i].fd >= 0)
			close(files->list[i].fd);
	}
	free(files->list);
	*files = FILES_EMPTY;
}

/* FNV over the numbers. */
static uint64_t fingerprint_of(const struct stat *st)
{
	const uint64_t parts[] = {st->st_dev, st->st_ino, (uint64_t)st->st_size, st->st_mode,
		(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec};
	uint64_t fingerprint = 14695981039346656037ull;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		fingerprint = (fingerprint ^ parts[i]) * 1099511628211ull;
	return fingerprint & INT64_MAX;
}

uint64_t file_fingerprint(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : fingerprint_of(&st);
}

/* The group bits of a credential are the mask of an access list, which names this service alone: systemd
 * makes it 0440 from version 254 on. */
static mode_t strangers_bits(const struct file *file)
{
	return is_credential(file->name) ? S_IRWXO : S_IRWXG | S_IRWXO;
}

static int check_mode(const struct file *file, const struct stat *st, struct why *why)
{
	if (!S_ISREG(st->st_mode))
		return why_set(why, FILE_E_FAULT, "%s: not a file", file->path);
	if (!kinds[file->place.kind].is_secret || !(st->st_mode & strangers_bits(file)))
		return 0;
	return why_set(why, FILE_E_FAULT,
		"%s: its mode is %04o, so that %s may read it; 'chmod 600 %s' mends that",
		file->path, (unsigned)st->st_mode & 07777,
		st->st_mode & S_IRWXO ? "everybody" : "its group", file->path);
}

/* Its fingerprint is from before the copy: what is written meanwhile is a change to come. */
static int take_copy(struct file *file, int fd, struct why *why)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = check_mode(file, &st, why);
	if (r != 0)
		return r;
	r = fd_sealed_copy("upperd-file", fd, LONGEST_FILE, &file->fd);
	if (r == -EFBIG)
		return why_set(why, FILE_E_FAULT, "%s: longer than %d MiB", file->path,
			LONGEST_FILE >> 20);
	if (r == 0)
		file->fingerprint = fingerprint_of(&st);
	return r;
}

/* The fault of a credential; NULL: it has none, or it is no credential. */
static const char *credential_fault(const char *name)
{
	if (!is_credential(name))
		return NULL;
	if (name[strlen(CREDENTIAL)] == '\0' || strchr(name, '/'))
		return "a name without a slash is needed";
	if (!getenv("CREDENTIALS_DIRECTORY"))
		return "there are no credentials; the service manager passes them, with "
		       "LoadCredential=";
	return NULL;
}

int file_open(struct file *file, struct why *why)
{
	_cleanup_close_ int fd = -1;
	const char *fault = credential_fault(file->name);

	if (fault)
		return why_set(why, FILE_E_FAULT, "%s: %s", file->name, fault);
	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return why_set(why, FILE_E_FAULT, "%s: %s", file->path, strerror(errno));
	return take_copy(file, fd, why);
}

bool file_place_exists(const struct conf *conf, const struct file_place *place)
{
	if (!conf || place->listener >= conf->n_listeners || place->kind >= N_FILE_KINDS)
		return false;
	return place->kind > FILE_OCSP ||
		place->index < conf->listeners[place->listener].tls.n_certificates;
}

const char *file_key(
	const struct file_place *place, const struct conf *conf, char key[static FILE_KEY_TEXT])
{
	const char *listener = conf->listeners[place->listener].name;
	const char *word = kinds[place->kind].word;

	if (place->kind <= FILE_OCSP)
		snprintf(key, FILE_KEY_TEXT, "listeners.%s.tls.certificates[%u].%s", listener,
			place->index, word);
	else
		snprintf(key, FILE_KEY_TEXT, "listeners.%s.tls.%s", listener, word);
	return key;
}

const char *file_name(const struct conf *conf, const struct file_place *place)
{
	const struct conf_tls *tls = &conf->listeners[place->listener].tls;

	switch ((enum file_kind)place->kind) {
	case FILE_CERTIFICATE:
		return tls->certificates[place->index].certificate;
	case FILE_KEY:
		return tls->certificates[place->index].key;
	case FILE_OCSP:
		return tls->certificates[place->index].ocsp;
	case FILE_CLIENT_CA:
		return tls->client_ca;
	case FILE_CRL:
		return tls->crl;
	case FILE_TICKET_KEYS:
		return tls->ticket_keys;
	case FILE_CIPHERS:
	case FILE_CIPHERSUITES:
	case FILE_GROUPS:
	case N_FILE_KINDS:
		break;
	}
	return NULL;
}

/* The origin of a value is "FILE:LINE", or a --set; a value without one is the default. */
const char *origin_of(char **origins, enum conf_scope scope, const char *key)
{
	const struct conf_row *row = conf_schema_find(scope, key);

	return origins && row ? origins[row - conf_schemas[scope].rows] : NULL;
}

static bool is_origin_set(const char *origin)
{
	return strncmp(origin, "--set ", 6) == 0;
}

void fault_at_origin(const char *origin, enum fault_level level, const char *key,
	const char *message, struct faults *faults)
{
	_cleanup_free_ char *file = strdup(origin ? origin : "");
	char *colon = file ? strrchr(file, ':') : NULL;
	struct fault_place at = {.level = level, .key = key};

	if (colon && !is_origin_set(file) && colon[1] >= '0' && colon[1] <= '9') {
		*colon = '\0';
		at.line = (unsigned)strtoul(colon + 1, NULL, 10);
	}
	at.file = file && *file ? file : NULL;
	faults_add(faults, &at, "%s", message);
}

static bool is_fault_known(const struct faults *faults, const char *key, const char *message)
{
	for (size_t i = 0; i < faults->n; i++)
		if (faults->list[i].key && strcmp(faults->list[i].key, key) == 0 &&
			strcmp(faults->list[i].message, message) == 0)
			return true;
	return false;
}

static const char *origin_of_file(const struct conf *conf, const struct file_place *place)
{
	const struct conf_tls *tls = &conf->listeners[place->listener].tls;
	const char *word = kinds[place->kind].word;

	if (place->kind <= FILE_OCSP)
		return origin_of(tls->certificates[place->index].origins, SCOPE_CERTIFICATE, word);
	return origin_of(tls->origins, SCOPE_TLS, word);
}

void fault_at_file(const struct conf *conf, const struct file_place *place, enum fault_level level,
	const char *message, struct faults *faults)
{
	char key[FILE_KEY_TEXT];

	file_key(place, conf, key);
	if (!is_fault_known(faults, key, message))
		fault_at_origin(origin_of_file(conf, place), level, key, message, faults);
}
