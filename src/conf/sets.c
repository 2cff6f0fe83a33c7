/* SPDX-License-Identifier: Apache-2.0 */

/* --set KEY=VALUE. Each value becomes a tree of its own, as the file would have it: the last name of the key
 * and its value, with a hook that remembers where it came from. Sections take these settings over those of the
 * file, so that faults in them are found alike. Strings may go without quotes, since a shell takes those away. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "conf/load.h"

#define SET_FAULT(load, set, about, ...)                                                         \
	faults_add((load)->faults, &(struct fault_place){.file = (set)->origin, .key = (about)}, \
		__VA_ARGS__)

static bool begins_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* The key within its listener, by whose name it goes. Names may have dots, so that each is tried. NULL, with a
 * fault: there is none of that name. */
static char *find_listener(const struct load *load, struct load_set *set, char *key)
{
	const char *const *labels = (const char *const *)load->labels;
	char *name = key + strlen("listeners");
	const char *nearest;
	_cleanup_free_ char *wanted = NULL;

	name += *name == '.';
	for (size_t i = 0; i < load->n_labels; i++) {
		size_t len = strlen(labels[i]);

		if (strncmp(name, labels[i], len) == 0 && name[len] == '.') {
			set->listener = i + 1;
			return name + len + 1;
		}
	}
	wanted = strndup(name, strcspn(name, "."));
	nearest = wanted ? text_nearest(wanted, labels, load->n_labels) : NULL;
	if (nearest && strcmp(wanted, nearest) != 0)
		SET_FAULT(
			load, set, key, "there is no such listener; did you mean \"%s\"?", nearest);
	else
		SET_FAULT(load, set, key,
			"listeners go by their names; set a key of one, as in "
			"listeners.%s.port=12000",
			load->n_labels > 0 && *labels[0] != '[' ? labels[0] : "NAME");
	return NULL;
}

static bool takes_bare_string(const struct conf_row *row)
{
	static const unsigned types = 1u << TYPE_SIZE | 1u << TYPE_TIME | 1u << TYPE_MODE |
		1u << TYPE_WORD | 1u << TYPE_STRING | 1u << TYPE_ADDRESS;

	return types >> row->type & 1;
}

static int read_assignment(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	if (*path)
		return -EACCES;
	*ret_text = strdup(userdata);
	*ret_len = strlen(userdata);
	return *ret_text ? 0 : -ENOMEM;
}

/* The value as it would stand in the file, with the checks that a file gets. False: it is no such value. */
static bool set_parse(struct load_set *set, const char *name, const char *value)
{
	_cleanup_free_ char *assignment = NULL;
	_cleanup_faults_ struct faults unused = FAULTS_EMPTY;
	struct conf_source source = {.file = "", .read = read_assignment};
	struct conf_text text;
	bool ok;

	if (asprintf(&assignment, "%s = %s\n;", name, value) < 0)
		return false;
	source.userdata = assignment;
	ok = text_join(&text, &source, &unused) == 0 && config_read_string(&set->tree, text.text) &&
		config_setting_length(config_root_setting(&set->tree)) == 1;
	text_done(&text);
	return ok;
}

/* Otherwise it is a string, and the complaint about the key shows it. False: nothing can have that name. */
static bool set_add_string(struct load_set *set, const char *name, const char *value)
{
	config_setting_t *setting;

	config_destroy(&set->tree);
	config_init(&set->tree);
	setting = config_setting_add(config_root_setting(&set->tree), name, CONFIG_TYPE_STRING);
	return setting && config_setting_set_string(setting, value);
}

static int set_read(struct load *load, struct load_set *set, const char *option)
{
	_cleanup_free_ char *key = strndup(option, strcspn(option, "="));
	const char *value = strchr(option, '=');
	enum conf_scope scope = SCOPE_TOP;
	const struct conf_row *row;
	char *rest = key, *name;
	bool is_parsed;

	if (!key || asprintf(&set->origin, "--set %s", option) < 0)
		return -ENOMEM;
	if (!value || *key == '\0') {
		SET_FAULT(load, set, NULL, "KEY=VALUE is needed, as in limits.connections=100");
		return 0;
	}
	if (begins_with(key, "listeners")) {
		rest = find_listener(load, set, key);
		scope = SCOPE_LISTENER;
	}
	if (!rest)
		return 0;
	set->is_tls = begins_with(rest, "tls.");
	if (set->is_tls) {
		rest += strlen("tls.");
		scope = SCOPE_TLS;
	}
	name = rest;
	for (char *dot; (dot = strchr(name, '.')); name = dot + 1) {
		*dot = '\0'; /* and there the key ends, if this is no group */
		if (!conf_schema_is_group(scope, rest))
			break;
		*dot = '.';
	}
	set->group = strndup(rest, (size_t)(name - rest));
	row = conf_schema_find(scope, rest);
	if (!set->group)
		return -ENOMEM;
	is_parsed = row ? value[1] == '"' || !takes_bare_string(row)
			: conf_schema_is_group(scope, rest);
	is_parsed = is_parsed && set_parse(set, name, value + 1);
	if (!is_parsed && !set_add_string(set, name, value + 1))
		SET_FAULT(load, set, key, "unknown key");
	config_setting_set_hook(config_root_setting(&set->tree), set->origin);
	return 0;
}

int sets_read(struct load *load)
{
	const char *const *options = load->source->sets;
	size_t n = 0;
	int r = 0;

	while (options && options[n])
		n++;
	load->sets = calloc(n + 1, sizeof(*load->sets));
	if (!load->sets)
		return -ENOMEM;
	for (; load->n_sets < n && r == 0; load->n_sets++) {
		struct load_set *set = &load->sets[load->n_sets];

		config_init(&set->tree);
		r = set_read(load, set, options[load->n_sets]);
	}
	return r;
}

void sets_done(struct load *load)
{
	for (size_t i = 0; i < load->n_sets; i++) {
		config_destroy(&load->sets[i].tree);
		free(load->sets[i].origin);
		free(load->sets[i].group);
	}
	free(load->sets);
}
