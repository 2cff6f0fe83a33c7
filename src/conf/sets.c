/* SPDX-License-Identifier: Apache-2.0 */

/* --set KEY=VALUE: finds the row of the key, and makes a setting of the value, as if the file had
 * it. Strings may go without quotes, since a shell takes them away. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/load.h"

static const char LISTENERS[] = "listeners.";
static const char TLS[] = "tls.";

__attribute__((format(printf, 4, 5))) static void set_fault(const struct load *load,
	const struct conf_set *set, const char *key, const char *format, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	faults_add(load->faults, &(struct fault_place){.file = set->name, .key = key}, "%s",
		message ? message : "out of memory");
}

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* A listener for an example. */
static const char *some_listener(const struct load *load)
{
	return load->n_labels > 0 && load->labels[0][0] != '[' ? load->labels[0] : "NAME";
}

static void no_such_listener(
	const struct load *load, const struct conf_set *set, const char *key, const char *name)
{
	_cleanup_free_ char *wanted = strndup(name, strcspn(name, "."));
	const char *nearest = NULL;

	for (size_t i = 0; i < load->n_labels; i++) {
		if (strcmp(name, load->labels[i]) == 0) {
			set_fault(load, set, key,
				"this is a listener; set one of its keys, as in %s.port=12000",
				key);
			return;
		}
	}
	if (wanted)
		nearest = text_nearest(wanted, (const char *const *)load->labels, load->n_labels);
	if (nearest)
		set_fault(
			load, set, key, "there is no such listener; did you mean \"%s\"?", nearest);
	else
		set_fault(load, set, key, "there is no such listener; there is \"%s\", for one",
			some_listener(load));
}

/* Names may have dots, so that each listener is asked whether it is meant. Returns what follows
 * its name, or NULL. */
static const char *find_listener(
	const struct load *load, const struct conf_set *set, const char *key, size_t *ret_listener)
{
	const char *name = key + strlen(LISTENERS);

	for (size_t i = 0; i < load->n_labels; i++) {
		size_t len = strlen(load->labels[i]);

		if (strncmp(name, load->labels[i], len) == 0 && name[len] == '.') {
			*ret_listener = i;
			return name + len + 1;
		}
	}

	no_such_listener(load, set, key, name);
	return NULL;
}

static void unknown_key(
	const struct load *load, const struct conf_set *set, const char *key, const char *rest)
{
	const char *dot = strrchr(rest, '.');
	size_t len = dot ? (size_t)(dot - rest) + 1 : 0;
	_cleanup_free_ char *group = strndup(rest, len);
	char suggestion[CONF_NAME];

	if (group && conf_schema_suggest(set->scope, group, rest + len, suggestion))
		set_fault(load, set, key, "unknown key; did you mean \"%s\"?", suggestion);
	else
		set_fault(load, set, key, "unknown key");
}

/* What a group begins with. */
static const char *first_key(enum conf_scope scope, const char *group)
{
	const struct conf_schema *schema = &conf_schemas[scope];
	size_t len = strlen(group);

	for (size_t i = 0; i < schema->n; i++)
		if (begins(schema->rows[i].key, group) && schema->rows[i].key[len] == '.')
			return schema->rows[i].key + len + 1;
	return "KEY";
}

/* The row, scope and listener that `key` names; without a row, a fault says why. */
static void find_row(const struct load *load, struct conf_set *set, const char *key)
{
	const struct conf_row *row;
	const char *rest = key;

	set->scope = SCOPE_TOP;
	set->listener = SIZE_MAX;
	if (begins(key, LISTENERS)) {
		set->scope = SCOPE_LISTENER;
		rest = find_listener(load, set, key, &set->listener);
		if (!rest)
			return;
	}
	if (begins(rest, TLS)) {
		set->scope = SCOPE_TLS;
		rest += strlen(TLS);
	}

	row = conf_schema_find(set->scope, rest);
	if (row && row->type != TYPE_TLS && row->type != TYPE_LISTENERS)
		set->row = row;
	else if (begins(rest, "listeners"))
		set_fault(load, set, key,
			"listeners go by their names; set a key of one, as in "
			"listeners.%s.port=12000",
			some_listener(load));
	else if (row || conf_schema_is_group(set->scope, rest))
		set_fault(load, set, key, "this is a group; set one of its keys, as in %s.%s", key,
			row ? "min_version" : first_key(set->scope, rest));
	else
		unknown_key(load, set, key, rest);
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

/* The "file" that a value is read from, with the checks that every file gets. */
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

/* Leaves `set->setting` NULL when this is not one value as the file would have it. */
static int parse_value(struct conf_set *set, char *value)
{
	const struct conf_source source = {.file = "", .read = read_value, .userdata = value};
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	struct conf_text text = CONF_TEXT_EMPTY;
	int r;

	r = conf_text_join(&text, &source, &faults);
	if (r == 0 && config_read_string(&set->config, text.text) &&
		config_setting_length(config_root_setting(&set->config)) == 1)
		set->setting = config_lookup(&set->config, "value");
	conf_text_done(&text);
	return r < 0 ? r : 0;
}

/* What is no value is a string, and if none will do, the complaint shows it. */
static int make_setting(struct conf_set *set, char *value)
{
	config_setting_t *root;
	int r;

	if (!takes_bare_string(set->row) || value[0] == '"') {
		r = parse_value(set, value);
		if (r || set->setting)
			return r;
	}

	config_destroy(&set->config);
	config_init(&set->config);
	root = config_root_setting(&set->config);
	set->setting = config_setting_add(root, "value", CONFIG_TYPE_STRING);
	if (!set->setting || !config_setting_set_string(set->setting, value))
		return -ENOMEM;
	return 0;
}

static int set_read(const struct load *load, struct conf_set *set, const char *option)
{
	_cleanup_free_ char *key = strdup(option);
	char *value;

	config_init(&set->config);
	if (asprintf(&set->name, "--set %s", option) < 0)
		set->name = NULL;
	if (!key || !set->name)
		return -ENOMEM;

	value = strchr(key, '=');
	if (!value || value == key) {
		set_fault(load, set, NULL, "KEY=VALUE is needed, as in limits.connections=100");
		return 0;
	}
	*value++ = '\0';
	find_row(load, set, key);
	return set->row ? make_setting(set, value) : 0;
}

int sets_read(struct load *load)
{
	const char *const *options = load->source->sets;
	size_t n = 0;

	while (options && options[n])
		n++;
	load->sets = calloc(n + 1, sizeof(*load->sets));
	if (!load->sets)
		return -ENOMEM;

	for (size_t i = 0; i < n; i++) {
		int r;

		load->n_sets = i + 1;
		r = set_read(load, &load->sets[i], options[i]);
		if (r)
			return r;
	}
	return 0;
}

const struct conf_set *sets_of(const struct load *load, const config_setting_t *setting)
{
	for (size_t i = 0; i < load->n_sets; i++)
		if (setting->config == &load->sets[i].config)
			return &load->sets[i];
	return NULL;
}

void sets_done(struct load *load)
{
	for (size_t i = 0; i < load->n_sets; i++) {
		config_destroy(&load->sets[i].config);
		free(load->sets[i].name);
	}
	free(load->sets);
}
