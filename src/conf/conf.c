/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration as a value: the listener for metrics that follows from it, and how it is freed. How it is made is in conf/load.c. */

#include "conf/conf.h"

#include <stdlib.h>

#include "conf/schema.h"
#include "conf/value.h"

bool conf_metrics(const struct conf *conf, struct conf_listener *ret_listener)
{
	struct conf_listener listener = {
		.name = (char *)(uintptr_t)CONF_METRICS,
		.transport = CONF_TCP,
		.path = conf->metrics.path,
		.address = conf->metrics.address,
		.port = conf->metrics.port,
		.mode = 0666, /* counters only, which an address would serve to all local users too */
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
	case TYPE_CLIENT_NAMES:
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

bool conf_socket_name(
	const struct conf_listener *listener, char ret_name[static CONF_LISTENER_NAME])
{
	snprintf(ret_name, CONF_LISTENER_NAME, "%s", listener->name);
	for (char *at = ret_name; (at = strchr(at, ':'));)
		*at = '-';
	return strcmp(ret_name, listener->name) != 0;
}
