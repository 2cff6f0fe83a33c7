/* SPDX-License-Identifier: Apache-2.0 */

/* From text to a configuration: join the files, parse, read what --set says, read both by the tables, resolve,
 * check. Each step adds to the faults; a configuration comes out only when there are none.
 *
 *     text.c                the file and its includes become one text, and mistakes of syntax get a cause
 *     libconfig             that text becomes a tree
 *     sets.c                each --set becomes a small tree of its own
 *     section.c, value.c    a group is read by the rows of schema.c: from --set, the file, or the default
 *     listener.c            the same for each listener, whose tls group lies over that of the whole
 *     resolve.c             values that follow from several keys: addresses with ports, names
 *     check.c               keys that exclude or need each other; it changes nothing
 *
 * A step that makes the others pointless ends the load: a text that cannot be read or parsed. All others go
 * on after a fault, so that one run finds them all. A draft, for --check, comes out in spite of faults; its
 * fields may be unset wherever a fault says so.
 *
 * Nothing here knows a single key but "tls" and "listeners", the two with groups of their own. No file is
 * opened: the caller's `read` does, so that workers and tests load from memory. */

#include "conf/load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/value.h"

/* The defaults as one libconfig text: a list for each scope, in the order of its rows. */
static int parse_presets(config_t *presets)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return -ENOMEM;
	for (unsigned scope = 0; scope < N_SCOPES; scope++) {
		const struct conf_schema *schema = &conf_schemas[scope];

		fprintf(to, "scope%u = (", scope);
		for (size_t i = 0; i < schema->n; i++) {
			const char *preset = schema->rows[i].preset;

			fprintf(to, "%s %s", i ? "," : "", preset ? preset : "0");
		}
		fputs(");\n", to);
	}
	if (fclose(to) != 0)
		return -ENOMEM;

	return config_read_string(presets, text) ? 0 : -ENOMEM;
}

static int read_tls(struct load *load)
{
	const config_setting_t *tls = section_has(&load->top, "tls");
	const char *lacks = conf_schema_lacks(conf_schema_find(SCOPE_TOP, "tls")->flags);

	load->tls = (struct section){
		.scope = SCOPE_TLS,
		.path = "tls.",
		.object = &load->conf->tls,
		.origins = &load->conf->tls.origins,
	};
	if (tls && lacks)
		load_fault(load, tls, "", "tls", "%s", lacks);
	else if (tls && !config_setting_is_group(tls))
		load_fault(load, tls, "", "tls", "a group { ... } is needed");
	else
		section_collect(load, &load->tls, tls && config_setting_is_root(tls) ? NULL : tls);
	return section_read(load, &load->tls);
}

static int read_tree(struct load *load)
{
	struct section *top = &load->top;
	int r;

	*top = (struct section){
		.scope = SCOPE_TOP,
		.path = "",
		.object = load->conf,
		.origins = &load->conf->origins,
	};
	section_collect(load, top, config_root_setting(&load->tree));
	top->at = NULL;
	if (!section_has(top, "listeners") && !section_meant(top, "listeners"))
		load_fault(load, NULL, "", "listeners",
			"missing; at least one is needed, such as %s",
			"listeners = ( { transport = \"udp\"; port = 12000; } );");
	r = section_read(load, top);
	if (r == 0)
		r = read_tls(load);
	if (r == 0)
		r = listeners_read(load);
	if (r == 0)
		r = resolve(load);
	if (r == 0)
		check(load);
	return r;
}

static int load_steps(struct load *load)
{
	struct fault_place place;
	int r;

	r = text_join(&load->text, load->source, load->faults);
	if (r)
		return r;
	if (!config_read_string(&load->tree, load->text.text)) {
		place = text_place(&load->text, (unsigned)config_error_line(&load->tree));
		if (!faults_any_errors(load->faults))
			faults_add(load->faults, &place, "syntax error here or just before");
		return CONF_E_FAULTS;
	}
	faults_done(load->faults); /* mistakes that libconfig does not mind */
	r = parse_presets(&load->presets);
	if (r == 0)
		r = listeners_name(load);
	if (r == 0)
		r = sets_read(load);
	if (r == 0)
		r = read_tree(load);
	return r;
}

static void load_done(struct load *load)
{
	for (size_t i = 0; i < load->n_labels; i++)
		free(load->labels[i]);
	for (size_t i = 0; load->sections && i < load->n_labels; i++)
		free((char *)(uintptr_t)load->sections[i].path);
	free(load->labels);
	free(load->sections);
	sets_done(load);
	config_destroy(&load->presets);
	config_destroy(&load->tree);
	text_done(&load->text);
}

int conf_load_draft(
	const struct conf_source *source, struct faults *faults, struct conf **ret_draft)
{
	_cleanup_conf_ struct conf *conf = calloc(1, sizeof(*conf));
	struct load load = {.source = source, .faults = faults, .conf = conf};
	int r;

	assert(source->read);
	if (!conf)
		return -ENOMEM;

	config_init(&load.tree);
	config_init(&load.presets);
	r = load_steps(&load);
	load_done(&load);
	conf_show_faults(faults, source->read, source->userdata);
	if (r < 0)
		return r;

	*ret_draft = r == 0 ? take_ptr(&conf) : NULL;
	return r == 0 && faults_any_errors(faults) ? CONF_E_FAULTS : r;
}

int conf_load(const struct conf_source *source, struct faults *faults, struct conf **ret_conf)
{
	_cleanup_conf_ struct conf *conf = NULL;
	int r;

	r = conf_load_draft(source, faults, &conf);
	if (r)
		return r;

	*ret_conf = take_ptr(&conf);
	return 0;
}
