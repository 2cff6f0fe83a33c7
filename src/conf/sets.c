/* SPDX-License-Identifier: Apache-2.0 */

/* --set KEY=VALUE: puts the value into the tree, as if the file had it, with a hook that remembers where it
 * came from. Its faults are then found as those of the file. Strings may go without quotes, since a
 * shell takes them away. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/load.h"

static const char LISTENERS[] = "listeners.";
static const char TLS[] = "tls.";

static bool begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

#define SET_FAULT(load, set, about, ...) \
	faults_add(                      \
		(load)->faults, &(struct fault_place){.file = (set), .key = (about)}, __VA_ARGS__)

static int no_such_listener(const struct load *load, const char *set, const char *key)
{
	_cleanup_free_ char *wanted = strdup(key + strcspn(key, "."));
	const char *const *labels = (const char *const *)load->labels;
	const char *nearest = NULL;

	if (wanted && *wanted) {
		wanted[strcspn(wanted + 1, ".") + 1] = '\0';
		nearest = text_nearest(wanted + 1, labels, load->n_labels);
	}
	if (nearest && strcmp(wanted + 1, nearest) != 0)
		SET_FAULT(
			load, set, key, "there is no such listener; did you mean \"%s\"?", nearest);
	else
		SET_FAULT(load, set, key,
			"listeners go by their names; set a key of one, as in "
			"listeners.%s.port=12000",
			load->n_labels > 0 && *labels[0] != '[' ? labels[0] : "NAME");
	return 0;
}

/* Names may have dots, so that each listener is tried. Returns what follows its name, or NULL. */
static const char *find_listener(const struct load *load, const char *key, size_t *ret_listener)
{
	for (size_t i = 0; begins_with(key, LISTENERS) && i < load->n_labels; i++) {
		const char *name = key + strlen(LISTENERS), *label = load->labels[i];

		if (begins_with(name, label) && name[strlen(label)] == '.') {
			*ret_listener = i;
			return name + strlen(label) + 1;
		}
	}
	return NULL;
}

static bool takes_bare_string(const struct conf_row *row)
{
	switch ((int)row->type) {
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_MODE:
	case TYPE_WORD:
	case TYPE_STRING:
	case TYPE_ADDRESS:
		return true;
	default:
		return false;
	}
}

/* A value as the file could have it, with the checks that every file gets. */
static int read_value(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	int len;

	if (*path)
		return -EACCES;
	len = asprintf(ret_text, "value = %s\n;", (const char *)userdata);
	if (len < 0)
		return -ENOMEM;
	*ret_len = (size_t)len;
	return 0;
}

static config_setting_t *copy_setting(
	config_setting_t *to, const char *name, config_setting_t *from)
{
	int type = config_setting_type(from);
	config_setting_t *copy = config_setting_add(to, name, type);

	if (!copy)
		return NULL;
	if (type == CONFIG_TYPE_STRING)
		return config_setting_set_string(copy, config_setting_get_string(from)) ? copy
											: NULL;
	if (!config_setting_is_aggregate(from)) {
		copy->value = from->value; /* a number or a bool, and nothing to free */
		return copy;
	}
	for (int i = 0; i < config_setting_length(from); i++) {
		config_setting_t *element = config_setting_get_elem(from, (unsigned)i);

		if (!copy_setting(copy, config_setting_name(element), element))
			return NULL;
	}
	return copy;
}

/* Adds the value as it would stand in the file, or, when it is no such value, as a string: if none will
 * do, the complaint shows it. */
static int add_value(config_setting_t *group, const char *name, const char *value, bool is_bare,
	config_setting_t **ret_setting)
{
	const struct conf_source source = {
		.file = "", .read = read_value, .userdata = (void *)(uintptr_t)value};
	_cleanup_faults_ struct faults unused = FAULTS_EMPTY;
	struct conf_text text = {0};
	config_setting_t *setting = NULL;
	config_t parsed;
	int r = 0;

	config_init(&parsed);
	if (!is_bare)
		r = text_join(&text, &source, &unused);
	if (!is_bare && r == 0 && config_read_string(&parsed, text.text) &&
		config_setting_length(config_root_setting(&parsed)) == 1)
		setting = copy_setting(group, name, config_lookup(&parsed, "value"));
	config_destroy(&parsed);
	text_done(&text);
	if (r == -ENOMEM)
		return r;
	if (!setting) {
		setting = config_setting_add(group, name, CONFIG_TYPE_STRING);
		if (setting && !config_setting_set_string(setting, value))
			return -ENOMEM;
	}
	*ret_setting = setting;
	return 0;
}

/* Goes into the groups that `path` names, which moves on to the last name, and makes those that are not
 * there. NULL: a part of it is no group, or no name. */
static config_setting_t *find_group(config_setting_t *at, const char **path, char *set)
{
	for (const char *dot; at && (dot = strchr(*path, '.')); *path = dot + 1) {
		char name[LOAD_MAX_KEY];
		config_setting_t *next;

		snprintf(name, sizeof(name), "%.*s", (int)(dot - *path), *path);
		next = config_setting_get_member(at, name);
		if (!next) {
			next = config_setting_add(at, name, CONFIG_TYPE_GROUP);
			if (next)
				config_setting_set_hook(next, set);
		}
		at = next && config_setting_is_group(next) ? next : NULL;
	}
	return at;
}

static int set_apply(struct load *load, char *set, const char *key, const char *value)
{
	config_setting_t *group = config_root_setting(&load->tree), *setting = NULL;
	enum conf_scope scope = SCOPE_TOP;
	const struct conf_row *row;
	const char *rest = key;
	size_t listener;
	int r = 0;

	if (begins_with(key, "listeners")) {
		rest = find_listener(load, key, &listener);
		if (!rest)
			return no_such_listener(load, set, key);
		group = config_setting_get_elem(load->listeners, (unsigned)listener);
		scope = SCOPE_LISTENER;
	}
	row = begins_with(rest, TLS) ? conf_schema_find(SCOPE_TLS, rest + strlen(TLS))
				     : conf_schema_find(scope, rest);
	group = find_group(group, &rest, set);
	if (group) {
		config_setting_remove(group, rest);
		r = add_value(group, rest, value, row && takes_bare_string(row) && value[0] != '"',
			&setting);
	}
	if (setting)
		config_setting_set_hook(setting, set);
	else if (r == 0)
		SET_FAULT(load, set, key, "unknown key");
	return r;
}

int sets_apply(struct load *load)
{
	const char *const *options = load->source->sets;
	size_t n = 0;

	while (options && options[n])
		n++;
	load->sets = calloc(n + 1, sizeof(*load->sets));
	if (!load->sets)
		return -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *key = strdup(options[i]);
		char *equals = key ? strchr(key, '=') : NULL;
		int r = 0;

		if (!key || asprintf(&load->sets[i], "--set %s", options[i]) < 0)
			return -ENOMEM;
		load->n_sets++;
		if (!equals || equals == key) {
			SET_FAULT(load, load->sets[i], NULL,
				"KEY=VALUE is needed, as in limits.connections=100");
			continue;
		}
		*equals = '\0';
		r = set_apply(load, load->sets[i], key, equals + 1);
		if (r)
			return r;
	}
	return 0;
}
