/* SPDX-License-Identifier: Apache-2.0 */

/* A walk over one group of the file by its scope's table: each member is a key of the table or a
 * fault, and each key of the table gets its value from --set, the file, or its default. Must not
 * know a single key.
 *
 * Two passes, because of faults. section_collect() finds the setting of each row, and reports members that are
 * no keys, with the key that was perhaps meant. section_read() goes through the rows and reads the values;
 * a row that an unknown key was meant for is not called missing as well.
 *
 * Sections may lie over each other: the tls group of a listener has the one of the whole `under` it. A value
 * that is taken from below keeps its own place and path, so that a fault in it is reported once, where
 * it stands, and not for each listener. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/load.h"
#include "conf/value.h"

/* The --set that a setting, or the list that it is in, came from; NULL: the file. */
static const char *set_of(const config_setting_t *setting)
{
	const char *set = NULL;

	for (; setting && !set; setting = config_setting_parent(setting))
		set = config_setting_get_hook(setting);
	return set;
}

void load_fault(const struct load *load, const config_setting_t *at, const char *path,
	const char *key, const char *format, ...)
{
	const char *set = set_of(at);
	_cleanup_free_ char *whole = NULL;
	struct fault_place place = {.file = set ? set : load->source->file};
	va_list args;

	if (at && !set)
		place = text_place(&load->text, at->line);
	if (asprintf(&whole, "%s%s", path, key) < 0)
		whole = NULL;
	place.key = whole && *whole ? whole : NULL;
	va_start(args, format);
	faults_vadd(load->faults, &place, format, args);
	va_end(args);
}

static size_t index_of(enum conf_scope scope, const struct conf_row *row)
{
	return (size_t)(row - conf_schemas[scope].rows);
}

/* A key of another group: the fault shows where it goes. */
static bool misplaced_key(
	const struct load *load, const struct section *section, const config_setting_t *setting)
{
	static const struct {
		enum conf_scope in, of;
		const char *message, *before, *after; /* around the name, for an example */
	} places[] = {
		{SCOPE_TOP, SCOPE_LISTENER, "a key of a listener; it goes into its group",
			"listeners = ( { ", " } );"},
		{SCOPE_TOP, SCOPE_TLS, "a key of tls; it goes into that group", "tls = { ", " };"},
		{SCOPE_LISTENER, SCOPE_TLS, "a key of tls; it goes into a group of this listener",
			"tls = { ", " };"},
		{SCOPE_LISTENER, SCOPE_TOP,
			"a key of the whole configuration; it goes beside listeners", "", ""},
		{SCOPE_LISTENER, SCOPE_CERTIFICATE, "a key of a certificate; it goes into a list",
			"tls = { certificates = ( { ", " } ); };"},
		{SCOPE_TLS, SCOPE_LISTENER, "a key of a listener; it goes beside its tls group", "",
			""},
		{SCOPE_TLS, SCOPE_CERTIFICATE, "a key of a certificate; it goes into a list",
			"certificates = ( { ", " } );"},
	};
	const char *name = config_setting_name(setting);

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (places[i].in == section->scope && conf_schema_find(places[i].of, name)) {
			load_fault(load, setting, section->path, name, "%s, as in %s%s = ...;%s",
				places[i].message, places[i].before, name, places[i].after);
			return true;
		}
	return false;
}

static void unknown_key(const struct load *load, struct section *section,
	const config_setting_t *setting, const char *group)
{
	const char *name = config_setting_name(setting);
	char path[LOAD_MAX_KEY], suggestion[CONF_NAME];
	const struct conf_row *row;

	snprintf(path, sizeof(path), "%s%s", group, name);
	if (*group == '\0' && misplaced_key(load, section, setting))
		return;
	if (!conf_schema_suggest(section->scope, group, name, suggestion)) {
		load_fault(load, setting, section->path, path, "unknown key");
		return;
	}

	load_fault(load, setting, section->path, path, "unknown key; did you mean \"%s\"?",
		suggestion);
	snprintf(path, sizeof(path), "%s%s", group, suggestion);
	row = conf_schema_find(section->scope, path);
	if (row)
		section->meant[index_of(section->scope, row)] = true;
}

static void collect_member(const struct load *load, struct section *section,
	const config_setting_t *setting, const char *group);

static void collect_group(const struct load *load, struct section *section,
	const config_setting_t *setting, const char *group)
{
	int n = config_setting_length(setting);

	for (int i = 0; i < n; i++)
		collect_member(load, section, config_setting_get_elem(setting, (unsigned)i), group);
}

static void collect_member(const struct load *load, struct section *section,
	const config_setting_t *setting, const char *group)
{
	const struct conf_row *row;
	char key[LOAD_MAX_KEY];
	size_t len =
		(size_t)snprintf(key, sizeof(key), "%s%s", group, config_setting_name(setting));

	row = conf_schema_find(section->scope, key);
	if (row) {
		section->settings[index_of(section->scope, row)] = setting;
	} else if (!conf_schema_is_group(section->scope, key)) {
		unknown_key(load, section, setting, group);
	} else if (!config_setting_is_group(setting)) {
		char found[128];

		value_describe(setting, found, sizeof(found));
		load_fault(load, setting, section->path, key, "a group { ... } is needed, not %s",
			found);
	} else {
		memcpy(key + len, ".", 2);
		collect_group(load, section, setting, key);
	}
}

/* A key of tls is taken by the section of that group; for the one around it, the group is there. */
static void collect_set(
	const struct load *load, struct section *section, const struct load_set *set)
{
	const struct conf_row *tls = conf_schema_find(section->scope, "tls");
	const config_setting_t *root = config_root_setting(&set->tree);

	if (!set->group || set->listener != section->listener)
		return;
	if (set->is_tls == (section->scope == SCOPE_TLS))
		collect_group(load, section, root, set->group);
	else if (tls && !section->settings[index_of(section->scope, tls)])
		section->settings[index_of(section->scope, tls)] = root;
}

void section_collect(
	const struct load *load, struct section *section, const config_setting_t *group)
{
	section->at = group;
	if (group)
		collect_group(load, section, group, "");
	for (size_t i = 0; i < load->n_sets && section->scope != SCOPE_CERTIFICATE; i++)
		collect_set(load, section, &load->sets[i]);
}

const config_setting_t *section_has(const struct section *section, const char *key)
{
	const struct conf_row *row = conf_schema_find(section->scope, key);

	return row ? section->settings[index_of(section->scope, row)] : NULL;
}

bool section_meant(const struct section *section, const char *key)
{
	const struct conf_row *row = conf_schema_find(section->scope, key);

	return row && section->meant[index_of(section->scope, row)];
}

/* Why this build cannot do what was set, or NULL. A word may need more than its key: "off" needs
 * nothing. */
static const char *lacks(const struct conf_row *row, const void *object)
{
	unsigned word;

	if (row->type != TYPE_WORD)
		return conf_schema_lacks(row->flags);
	memcpy(&word, (const char *)object + row->offset, sizeof(word));
	return conf_schema_lacks(row->words[word].needs);
}

static char *origin_of_setting(const struct load *load, const config_setting_t *setting)
{
	const char *set = set_of(setting);
	size_t size;
	char *origin;

	if (!set)
		return text_origin(&load->text, setting->line);
	size = 4 * strlen(set) + 1;
	origin = malloc(size);
	if (origin)
		text_escape(set, strlen(set), origin, size);
	return origin;
}

static int read_certificate(const struct load *load, const char *path, config_setting_t *group,
	struct conf_certificate *certificate)
{
	struct section section = {
		.scope = SCOPE_CERTIFICATE,
		.path = path,
		.object = certificate,
		.origins = &certificate->origins,
	};

	section_collect(load, &section, group);
	return section_read(load, &section);
}

static int read_certificates(const struct load *load, const struct section *section,
	const struct conf_row *row, const config_setting_t *setting)
{
	struct conf_tls *tls = section->object;
	_cleanup_free_ char *path = NULL;
	int n = config_setting_is_list(setting) ? config_setting_length(setting) : 0;

	if (n < 1 || (uint64_t)n > row->max) {
		load_fault(load, setting, section->path, row->key,
			"a list of 1 to %u groups ( { certificate = ...; key = ...; } ) is needed",
			(unsigned)row->max);
		return 0;
	}
	if (asprintf(&path, "%s%s.", section->path, row->key) < 0)
		return -ENOMEM;
	tls->certificates = calloc((size_t)n, sizeof(*tls->certificates));
	if (!tls->certificates)
		return -ENOMEM;
	tls->n_certificates = (size_t)n;

	for (int i = 0; i < n; i++) {
		config_setting_t *group = config_setting_get_elem(setting, (unsigned)i);
		int r = 0;

		if (config_setting_is_group(group))
			r = read_certificate(load, path, group, &tls->certificates[i]);
		else
			load_fault(load, group, section->path, row->key,
				"each certificate is a group { ... }");
		if (r)
			return r;
	}
	return 0;
}

/* One value that was set, and not a default. */
static int read_set(const struct load *load, const struct section *section,
	const struct conf_row *row, const config_setting_t *setting)
{
	size_t i = index_of(section->scope, row);
	struct why why;
	const char *reason;
	int r;

	if (row->type == TYPE_CERTIFICATES)
		r = read_certificates(load, section, row, setting);
	else
		r = value_read(row, setting, section->object, &why);
	if (r == VALUE_E_BAD) {
		load_fault(load, setting, section->path, row->key, "%s", why.text);
		return 0;
	}
	if (r)
		return r;

	reason = lacks(row, section->object);
	if (reason && row->type == TYPE_WORD)
		load_fault(load, setting, section->path, row->key, "\"%s\" is %s",
			config_setting_get_string(setting), reason);
	else if (reason)
		load_fault(load, setting, section->path, row->key, "%s", reason);

	if (!(*section->origins)[i]) {
		(*section->origins)[i] = origin_of_setting(load, setting);
		if (!(*section->origins)[i])
			return -ENOMEM;
	}
	return 0;
}

static int read_preset(
	const struct load *load, const struct section *section, const struct conf_row *row)
{
	config_setting_t *presets =
		config_setting_get_elem(config_root_setting(&load->presets), section->scope);
	size_t i = index_of(section->scope, row);
	struct why why;
	int r;

	if (!row->preset)
		return 0;
	r = value_read(row, config_setting_get_elem(presets, (unsigned)i), section->object, &why);
	assert(r <= 0);
	return r;
}

static bool has_groups(const struct conf_row *row)
{
	return row->type == TYPE_TLS || row->type == TYPE_LISTENERS;
}

static int read_row(const struct load *load, const struct section *section, size_t i)
{
	const struct conf_row *row = &conf_schemas[section->scope].rows[i];
	const config_setting_t *setting = section->settings[i];
	struct section inherits = *section;

	/* Faults keep the place and key of where the value stands, and so are said only once. */
	if (!setting && section->under) {
		setting = section->under->settings[i];
		inherits.path = section->under->path;
	}
	if (setting)
		return has_groups(row) ? 0 : read_set(load, &inherits, row, setting);

	if (row->flags & REQUIRED && !has_groups(row) && !section->meant[i])
		load_fault(load, section->at, section->path, row->key, "missing");
	return read_preset(load, section, row);
}

int section_read(const struct load *load, const struct section *section)
{
	const struct conf_schema *schema = &conf_schemas[section->scope];

	*section->origins = calloc(schema->n, sizeof(**section->origins));
	if (!*section->origins)
		return -ENOMEM;
	for (size_t i = 0; i < schema->n; i++) {
		int r = read_row(load, section, i);

		if (r)
			return r;
	}
	return 0;
}
