/* SPDX-License-Identifier: Apache-2.0 */

/* From text to a configuration: join the files, parse, read by the tables, check. Each step adds
 * to the faults; a configuration comes out only when there are none. */

#include "conf/conf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "conf/load.h"
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

static int syntax_fault(struct load *load)
{
	const char *text = config_error_text(&load->tree);
	struct fault_place place =
		conf_text_place(&load->text, (unsigned)config_error_line(&load->tree), NULL);
	bool is_plain = !text || strcmp(text, "syntax error") == 0;

	faults_add(
		load->faults, &place, "%s", is_plain ? "syntax error here or just before" : text);
	return CONF_E_FAULTS;
}

static int read_tls(struct load *load, const struct section *top)
{
	const config_setting_t *tls = section_has(top, "tls");
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
	else if (tls)
		section_collect(load, &load->tls, config_lookup(&load->tree, "tls"));
	section_override(load, &load->tls, SIZE_MAX);
	return section_read(load, &load->tls);
}

static int read_tree(struct load *load)
{
	struct section top = {
		.scope = SCOPE_TOP,
		.path = "",
		.object = load->conf,
		.origins = &load->conf->origins,
	};
	int r;

	section_collect(load, &top, config_root_setting(&load->tree));
	top.at = NULL;
	section_override(load, &top, SIZE_MAX);
	if (!section_has(&top, "listeners") && !section_meant(&top, "listeners"))
		load_fault(load, NULL, "", "listeners",
			"missing; at least one is needed, such as %s",
			"listeners = ( { transport = \"udp\"; port = 12000; } );");
	r = section_read(load, &top);
	if (r == 0)
		r = read_tls(load, &top);
	if (r == 0)
		r = listeners_read(load);
	if (r)
		return r;

	check_names_and_addresses(load);
	check_top(load, &top);
	check_metrics(load, &top);
	return 0;
}

static int load_steps(struct load *load)
{
	int r;

	r = conf_text_join(&load->text, load->source, load->faults);
	if (r)
		return r;
	if (!config_read_string(&load->tree, load->text.text))
		return syntax_fault(load);
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
	free(load->labels);
	sets_done(load);
	config_destroy(&load->presets);
	config_destroy(&load->tree);
	conf_text_done(&load->text);
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

bool conf_metrics(const struct conf *conf, struct conf_listener *ret_listener)
{
	struct conf_listener listener = {
		.name = (char *)(uintptr_t)CONF_METRICS,
		.transport = CONF_TCP,
		.path = conf->metrics.path,
		.address = conf->metrics.address,
		.port = conf->metrics.port,
		.mode = 0666, /* numbers, as anybody on the machine could have them over an address */
		.backlog = 128,
	};

	if (!listener.path && listener.port == 0)
		return false;
	if (listener.path && addr_parse_unix(listener.path, &listener.address) != 0)
		return false;
	if (listener.address.sa.sa_family == AF_INET6)
		listener.address.in6.sin6_port = htons(listener.port);
	else if (listener.address.sa.sa_family == AF_INET)
		listener.address.in.sin_port = htons(listener.port);

	*ret_listener = listener;
	return true;
}

static void scope_free(enum conf_scope scope, void *object, char **origins);

static void certificates_free(struct conf_tls *tls)
{
	for (size_t i = 0; i < tls->n_certificates; i++)
		scope_free(SCOPE_CERTIFICATE, &tls->certificates[i], tls->certificates[i].origins);
	free(tls->certificates);
}

static void listeners_free(struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listeners; i++)
		scope_free(SCOPE_LISTENER, &conf->listeners[i], conf->listeners[i].origins);
	free(conf->listeners);
}

static void strings_free(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

static void field_free(enum conf_type type, void *object, void *field)
{
	struct conf_tls *tls = field;

	switch ((int)type) {
	case TYPE_STRING:
		free(*(char **)field);
		break;
	case TYPE_PREFIXES:
		free(((struct conf_prefixes *)field)->list);
		break;
	case TYPE_STRINGS:
		strings_free(
			((struct value_strings *)field)->list, ((struct value_strings *)field)->n);
		break;
	case TYPE_CERTIFICATES:
		certificates_free(object);
		break;
	case TYPE_TLS:
		scope_free(SCOPE_TLS, tls, tls->origins);
		break;
	case TYPE_LISTENERS:
		listeners_free(object);
		break;
	default:
		break;
	}
}

static void scope_free(enum conf_scope scope, void *object, char **origins)
{
	const struct conf_schema *schema = &conf_schemas[scope];

	for (size_t i = 0; i < schema->n; i++)
		field_free(schema->rows[i].type, object, (char *)object + schema->rows[i].offset);
	if (origins)
		strings_free(origins, schema->n);
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	scope_free(SCOPE_TOP, conf, conf->origins);
	free(conf);
}
