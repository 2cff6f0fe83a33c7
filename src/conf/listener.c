/* SPDX-License-Identifier: Apache-2.0 */

/* The list of listeners: what each is called before anything is known of it, and its groups. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/load.h"
#include "conf/value.h"

static const char *member_string(config_setting_t *group, const char *name)
{
	const config_setting_t *member = config_setting_get_member(group, name);

	return member ? value_string(member) : NULL;
}

/* Its name, or transport and port as far as the file says them, or its place in the list. */
static char *label_of(config_setting_t *group, int i)
{
	bool is_group = config_setting_is_group(group);
	const char *name = is_group ? member_string(group, "name") : NULL;
	const char *transport = is_group ? member_string(group, "transport") : NULL;
	const char *path = is_group ? member_string(group, "path") : NULL;
	int port = 0, r;
	char *label;

	if (is_group)
		config_setting_lookup_int(group, "port", &port);
	if (name)
		r = asprintf(&label, "%s", name);
	else if (transport && path)
		r = asprintf(&label, "%s:%s", transport, path);
	else if (transport && port)
		r = asprintf(&label, "%s:%d", transport, port);
	else
		r = asprintf(&label, "[%d]", i);
	return r < 0 ? NULL : label;
}

/* Leaves load->listeners NULL when there is none, or, with a fault, when it will not do. */
static void find_list(struct load *load)
{
	config_setting_t *list = config_lookup(&load->tree, "listeners");
	char found[128];

	if (!list)
		return;
	if (!config_setting_is_list(list)) {
		value_describe(list, found, sizeof(found));
		load_fault(load, list, "", "listeners",
			"a list of groups, ( { ... } ), is needed, not %s", found);
	} else if (config_setting_length(list) == 0) {
		load_fault(
			load, list, "", "listeners", "the list is empty; at least one is needed");
	} else if (config_setting_length(list) > CONF_MAX_LISTENERS) {
		load_fault(load, list, "", "listeners",
			"%d of them are too many; at most %d will do", config_setting_length(list),
			CONF_MAX_LISTENERS);
	} else {
		load->listeners = list;
	}
}

int listeners_name(struct load *load)
{
	int n;

	find_list(load);
	n = load->listeners ? config_setting_length(load->listeners) : 0;
	load->labels = calloc((size_t)n + 1, sizeof(*load->labels));
	if (!load->labels)
		return -ENOMEM;

	for (int i = 0; i < n; i++) {
		load->labels[i] =
			label_of(config_setting_get_elem(load->listeners, (unsigned)i), i);
		if (!load->labels[i])
			return -ENOMEM;
		load->n_labels++;
	}
	return 0;
}

/* The keys of its own tls group over those of the top. */
static int read_own_tls(
	const struct load *load, const struct section *of, struct conf_listener *listener)
{
	const config_setting_t *own = section_has(of, "tls");
	_cleanup_free_ char *path = NULL;
	struct section section = {
		.scope = SCOPE_TLS,
		.listener = of->listener,
		.object = &listener->tls,
		.origins = &listener->tls.origins,
		.under = &load->tls,
	};

	if (asprintf(&path, "%stls.", of->path) < 0)
		return -ENOMEM;
	section.path = path;
	if (own && !config_setting_is_group(own))
		load_fault(load, own, of->path, "tls", "a group { ... } is needed");
	else
		section_collect(load, &section, own && config_setting_is_root(own) ? NULL : own);
	section.at = of->at;
	return section_read(load, &section);
}

static int read_listener(struct load *load, struct conf_listener *listener, size_t i)
{
	config_setting_t *group = config_setting_get_elem(load->listeners, (unsigned)i);
	const char *label = load->labels[i];
	struct section *section = &load->sections[i];
	char *path;
	int r;

	if (asprintf(&path, "listeners%s%s.", *label == '[' ? "" : ".", label) < 0)
		return -ENOMEM;
	*section = (struct section){.scope = SCOPE_LISTENER, .listener = i + 1, .path = path};
	if (!config_setting_is_group(group)) {
		path[strlen(path) - 1] = '\0';
		load_fault(load, group, path, "", "each listener is a group { ... }");
		return 0;
	}

	section->object = listener;
	section->origins = &listener->origins;
	section_collect(load, section, group);
	r = section_read(load, section);
	if (r == 0 && conf_has_tls(listener))
		r = read_own_tls(load, section, listener);
	return r;
}

int listeners_read(struct load *load)
{
	struct conf *conf = load->conf;

	if (!load->listeners)
		return 0;
	load->sections = calloc(load->n_labels, sizeof(*load->sections));
	conf->listeners = calloc(load->n_labels, sizeof(*conf->listeners));
	if (!conf->listeners || !load->sections)
		return -ENOMEM;
	conf->n_listeners = load->n_labels;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		int r = read_listener(load, &conf->listeners[i], i);

		if (r)
			return r;
	}
	return 0;
}
