/* SPDX-License-Identifier: Apache-2.0 */

/* Faults that no key alone shows: keys that exclude or need each other, and listeners that get in each
 * other's way. It runs last, over a configuration that is complete but for earlier faults.
 *
 * Changes nothing, and does not ask the machine: nothing is opened, looked up or bound. So the verdict on a text
 * is the same everywhere, in a worker and in a test; the accounts and files that it names are looked at by
 * process/configuration.c and process/files.c.
 *
 * A fault stands at the setting that should be changed. Where two settings collide it stands at the later one
 * and names the earlier, and it is reported once, however many listeners inherit it. */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "conf/load.h"
#include "core/client_name.h"

/* One listener being checked. */
struct check {
	const struct load *load;
	const struct section *section;
	const struct conf_listener *listener;
};

#define FAULT(check, at, key, ...) \
	load_fault((check)->load, at, (check)->section->path, key, __VA_ARGS__)

static const config_setting_t *has(const struct check *check, const char *key)
{
	return section_has(check->section, key);
}

static bool is_root(const char *user)
{
	return strcmp(user, "root") == 0 || (*user && user[strspn(user, "0")] == '\0');
}

static void check_top(const struct load *load)
{
	const struct section *top = &load->top;
	const struct conf *conf = load->conf;

	if (conf->user && is_root(conf->user))
		load_fault(load, section_has(top, "user"), "", "user",
			"\"%s\" would leave the workers what they give up: being root; name a user "
			"of their own, such as \"" UPPERD_USER "\"",
			conf->user);
	if (conf->control_group && conf->control_path && conf->control_path[0] == '@')
		load_fault(load, section_has(top, "control.group"), "", "control.group",
			"\"%s\" is an abstract name, which has no file that a group could open",
			conf->control_path);
	for (size_t i = 0; conf->control_path && i < conf->n_listeners; i++) {
		const struct conf_listener *l = &conf->listeners[i];

		if (l->path && strcmp(l->path, conf->control_path) == 0)
			load_fault(load, section_has(top, "control.path"), "", "control.path",
				"\"%s\" is the path of listener %s", l->path, l->name);
	}
}

/* "udp and dtls": the transports of a key, for a person. */
static void name_transports(unsigned flags, char *to, size_t size)
{
	size_t len = 0;

	for (unsigned i = 0; conf_transports[i].word; i++)
		if (flags & (1u << i))
			len += (size_t)snprintf(to + len, size - len, "%s%s", len ? " and " : "",
				conf_transports[i].word);
}

/* Where it is no mistake by itself, which is said once. */
static bool may_have_path(const struct conf_listener *l)
{
	return (1u << l->transport) & ON_STREAMS;
}

static const char *why_not(const struct conf_row *row, const struct conf_listener *l)
{
	bool is_abstract = l->path && l->path[0] == '@', is_stream = may_have_path(l);

	if (row->flags & ON_PORT && l->path && is_stream && strcmp(row->key, "port") != 0)
		return "this listener has a path and no address";
	if (row->flags & ON_FILE && is_abstract)
		return "an abstract socket has no owner and no permissions";
	if (row->flags & ON_FILE && !l->path)
		return "only for a listener with a path";
	return NULL;
}

static void check_applies(const struct check *check, const struct conf_row *row)
{
	const struct conf_listener *l = check->listener;
	const config_setting_t *at = has(check, row->key);
	const char *reason = why_not(row, l);
	char words[64];

	if (!at)
		return;
	if (row->flags & ON_ALL && !(row->flags & (1u << l->transport))) {
		name_transports(row->flags, words, sizeof(words));
		FAULT(check, at, row->key, "only for %s, and this is %s", words,
			conf_transport_name(l->transport));
	} else if (reason) {
		FAULT(check, at, row->key, "%s", reason);
	}
}

static void check_place(const struct check *check)
{
	const struct conf_listener *l = check->listener;
	bool has_port = has(check, "port"), has_path = has(check, "path");

	if (has_port && has_path && may_have_path(l))
		FAULT(check, has(check, "path"), "path",
			"a port and a path both; one of them will do");
	else if (!has_port && !has_path && !section_meant(check->section, "port") &&
		!section_meant(check->section, "path"))
		FAULT(check, check->section->at, "port", "missing; a port or a path is needed");
	if (!l->path && l->v6only && l->address.sa.sa_family == AF_INET)
		FAULT(check, has(check, "v6only"), "v6only", "the address is IPv4");
}

/* The kernel refuses the one with no more than "Invalid argument", and the other would never be answered. */
static void check_address(const struct check *check)
{
	const struct conf_listener *l = check->listener;
	struct in6_addr host = addr_host6(&l->address);
	char text[ADDR_TEXT];

	if (l->path || !l->address.len)
		return;
	addr_format_host(&l->address, text);
	if (IN6_IS_ADDR_LINKLOCAL(&host) && l->address.in6.sin6_scope_id == 0 && !l->interface)
		FAULT(check, has(check, "address"), "address",
			"%s is link-local, and needs its interface behind it, such as %s%%eth0",
			text, text);
	if (IN6_IS_ADDR_MULTICAST(&host) ||
		(IN6_IS_ADDR_V4MAPPED(&host) && host.s6_addr[12] >= 224))
		FAULT(check, has(check, "address"), "address",
			"%s is no address of one host, and is never answered", text);
}

static void check_name(const struct check *check)
{
	static const char fine[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789._:@/-";
	const char *name = check->listener->name;
	const config_setting_t *at = has(check, "name");

	if (strlen(name) <= 64 && name[strspn(name, fine)] == '\0')
		return;
	if (at)
		FAULT(check, at, "name",
			"\"%s\" is no name; letters, digits and . _ : @ / - will do", name);
	else
		FAULT(check, check->section->at, "name", "missing; none can be made of this path");
}

static void check_proxy(const struct check *check)
{
	const struct conf_listener *l = check->listener;

	if (l->proxy_protocol != CONF_PROXY_OFF && l->proxy_from.n == 0)
		FAULT(check, has(check, "proxy_protocol"), "proxy_protocol",
			"needs proxy_from too: without it no header is believed");
}

/* A pin names a key, which is proven in the handshake; any other name is only as good as the authority that
 * has signed it. */
static bool are_pins(const struct conf_tls *tls)
{
	for (size_t i = 0; i < tls->n_client_names; i++)
		if (strncmp(tls->client_names[i], CLIENT_NAME_SPKI_PREFIX,
			    strlen(CLIENT_NAME_SPKI_PREFIX)) != 0)
			return false;
	return tls->n_client_names > 0;
}

static void check_clients(const struct check *check, const config_setting_t *at)
{
	const struct conf_tls *tls = &check->listener->tls;

	if (tls->client_auth == CONF_CLIENT_NONE) {
		if (tls->n_client_names > 0)
			FAULT(check, at, "tls.client_names",
				"needs client_auth = \"required\" or \"optional\": clients are not "
				"asked for a certificate here");
		return;
	}
	if (tls->crl && !tls->client_ca)
		FAULT(check, at, "tls.crl",
			"needs client_ca, whose authorities have made the lists");
	if (tls->client_ca || are_pins(tls))
		return;
	FAULT(check, at, "tls.client_ca", "missing; %s",
		tls->n_client_names > 0
			? "names of client_names are believed from an authority alone; without "
			  "one, "
			  "entries with \"spki:sha256:\" will do, and no others"
			: "client_auth needs it, or client_names with \"spki:sha256:\" entries");
}

static void check_tls(const struct check *check)
{
	const struct conf_listener *l = check->listener;
	const config_setting_t *tls = has(check, "tls");
	const config_setting_t *at = tls ? tls : check->section->at;

	if (conf_has_tls(l) && l->tls.n_certificates == 0)
		FAULT(check, at, "tls.certificates", "missing");
	check_clients(check, at);
	if (l->transport == CONF_DTLS && l->tls.min_version == CONF_TLS_1_3)
		FAULT(check, at, "tls.min_version",
			"\"1.3\" leaves nothing to speak: DTLS is 1.2 here; say \"1.2\" in the tls "
			"group of this listener");
}

static void check_listener(const struct load *load, size_t i)
{
	const struct conf_schema *schema = &conf_schemas[SCOPE_LISTENER];
	const struct conf_listener *listener = &load->conf->listeners[i];
	const struct check check = {load, &load->sections[i], listener};
	size_t transport = (size_t)(conf_schema_find(SCOPE_LISTENER, "transport") - schema->rows);

	if (!check.section->object)
		return;
	check_place(&check);
	check_address(&check);
	/* Without a transport nothing can be said of the rest. */
	if (!listener->origins[transport])
		return;
	check_name(&check);
	for (size_t row = 0; row < schema->n; row++)
		check_applies(&check, &schema->rows[row]);
	check_proxy(&check);
	check_tls(&check);
}

static bool is_any(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET ? addr->in.sin_addr.s_addr == htonl(INADDR_ANY)
					     : IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static bool covers(const struct conf_listener *a, const struct conf_listener *b)
{
	int family_a = a->address.sa.sa_family, family_b = b->address.sa.sa_family;

	return is_any(&a->address) &&
		(family_a == family_b || (family_a == AF_INET6 && !a->v6only));
}

static bool overlap(const struct conf_listener *a, const struct conf_listener *b)
{
	bool datagrams_a = (1u << a->transport) & ON_DATAGRAMS;
	bool datagrams_b = (1u << b->transport) & ON_DATAGRAMS;

	if (datagrams_a != datagrams_b || !a->path != !b->path)
		return false;
	if (a->path)
		return strcmp(a->path, b->path) == 0;
	if (a->port == 0 || a->port != b->port || !a->address.len || !b->address.len)
		return false;
	if (a->interface && b->interface && strcmp(a->interface, b->interface) != 0)
		return false;
	return covers(a, b) || covers(b, a) || addr_equal(&a->address, &b->address);
}

static void check_pair(const struct load *load, size_t i, size_t j)
{
	const struct conf_listener *a = &load->conf->listeners[i], *b = &load->conf->listeners[j];
	const struct section *section = &load->sections[j];
	const char *key = a->path ? "path" : "port";
	const config_setting_t *name, *place;
	char text[ADDR_TEXT];

	/* Without a name there was no group. */
	if (!a->name || !b->name)
		return;
	name = section_has(section, "name");
	place = section_has(section, key);
	if (strcmp(a->name, b->name) == 0)
		load_fault(load, name ? name : section->at, section->path, "name",
			"\"%s\" is the name of an earlier listener", b->name);
	if (overlap(a, b))
		load_fault(load, place ? place : section->at, section->path, key,
			"listener \"%s\" has %s already", a->name, addr_format(&a->address, text));
}

static void check_metrics_place(const struct load *load)
{
	const struct section *top = &load->top;
	const struct conf *conf = load->conf;
	const config_setting_t *path = section_has(top, "metrics.path");
	const config_setting_t *address = section_has(top, "metrics.address");
	const config_setting_t *port = section_has(top, "metrics.port");
	struct addr unused;

	if (path && (address || port))
		load_fault(load, path, "", "metrics.path",
			"a path and an address both; one of them will do");
	else if (address && !port)
		load_fault(load, address, "", "metrics.address", "needs metrics.port too");
	else if (port && !address)
		load_fault(load, port, "", "metrics.port", "needs metrics.address too");
	if (conf->metrics.path && addr_parse_unix(conf->metrics.path, &unused) != 0)
		load_fault(load, path, "", "metrics.path",
			"\"%s\" is not a path of a unix socket, nor @ and a name",
			conf->metrics.path);
	else if (conf->metrics.path && conf->control_path &&
		strcmp(conf->metrics.path, conf->control_path) == 0)
		load_fault(load, path, "", "metrics.path", "\"%s\" is the path of control.path",
			conf->control_path);
}

static void check_metrics(const struct load *load)
{
	const struct section *top = &load->top;
	const char *key = load->conf->metrics.path ? "metrics.path" : "metrics.port";
	struct conf_listener metrics;
	char text[ADDR_TEXT];

	check_metrics_place(load);
	if (!conf_metrics(load->conf, &metrics))
		return;
	for (size_t i = 0; i < load->conf->n_listeners; i++) {
		const struct conf_listener *l = &load->conf->listeners[i];

		if (l->name && overlap(l, &metrics))
			load_fault(load, section_has(top, key), "", key,
				"listener \"%s\" has %s already", l->name,
				addr_format(&l->address, text));
		if (l->name && strcmp(l->name, CONF_METRICS) == 0)
			load_fault(load, section_has(top, key), "", key,
				"listener \"%s\" needs another name: its own is that of the "
				"socket for metrics",
				l->name);
	}
}

void check(const struct load *load)
{
	size_t n = load->conf->n_listeners;

	for (size_t i = 0; i < n; i++)
		check_listener(load, i);
	for (size_t j = 0; j < n; j++)
		for (size_t i = 0; i < j; i++)
			check_pair(load, i, j);
	check_top(load);
	check_metrics(load);
}
