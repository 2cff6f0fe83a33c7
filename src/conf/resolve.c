/* SPDX-License-Identifier: Apache-2.0 */

/* Values that follow from several keys of a configuration that has been read: an address gets its port, a path
 * becomes an address, a listener without a name gets one. From here on it is never changed. */

#include <errno.h>
#include <netinet/in.h>

#include "conf/load.h"

static const char no_unix_path[] = "\"%s\" is not a path of a unix socket, nor @ and a name";

static void resolve_address(
	const struct load *load, const struct section *section, struct conf_listener *l)
{
	if (l->path && addr_parse_unix(l->path, &l->address) != 0)
		load_fault(load, section_has(section, "path"), section->path, "path", no_unix_path,
			l->path);
	else if (!l->path && l->address.sa.sa_family == AF_INET6)
		l->address.in6.sin6_port = htons(l->port);
	else if (!l->path && l->address.sa.sa_family == AF_INET)
		l->address.in.sin_port = htons(l->port);
}

static int resolve_name(struct conf_listener *l)
{
	const char *transport = conf_transport_name(l->transport);
	int r;

	if (l->name)
		return 0;
	r = l->path ? asprintf(&l->name, "%s:%s", transport, l->path)
		    : asprintf(&l->name, "%s:%u", transport, l->port);
	if (r < 0)
		l->name = NULL;
	return r < 0 ? -ENOMEM : 0;
}

int resolve(const struct load *load)
{
	for (size_t i = 0; i < load->conf->n_listeners; i++) {
		struct conf_listener *l = &load->conf->listeners[i];

		if (!load->sections[i].object)
			continue;
		resolve_address(load, &load->sections[i], l);
		if ((1u << l->transport) & ON_DATAGRAMS)
			l->frame.framing = UPPER_DATAGRAM;
		if (resolve_name(l) < 0)
			return -ENOMEM;
	}
	return 0;
}
