/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses as values: no name is ever looked up. Printing makes no system call, since a sandboxed
 * process prints too: that is why a scope is written as a number and not as an interface. */

#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "config.h"

/* The bits in front of an IPv4 address in its IPv6 form. */
#define MAPPED_BITS 96

#define UNIX_HEAD offsetof(struct sockaddr_un, sun_path)

static sa_family_t addr_family(const struct addr *addr)
{
	return addr->len == 0 ? AF_UNSPEC : addr->sa.sa_family;
}

/* Decimal digits and nothing else, up to `max`. */
static int parse_number(const char *text, uint32_t max, uint32_t *ret_number)
{
	uint64_t number = 0;

	if (*text == '\0')
		return ADDR_E_SYNTAX;

	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return ADDR_E_SYNTAX;
		number = number * 10 + (uint64_t)(*text - '0');
		if (number > max)
			return ADDR_E_SYNTAX;
	}

	*ret_number = (uint32_t)number;
	return 0;
}

/* Not if_nametoindex(), since a reload reads addresses in a sandbox, and each C library has its own way
 * to ask: these are the two calls that are on the list. */
static uint32_t interface_number(const char *name)
{
#if WITH_LINUX
	_cleanup_close_ int fd = -1;
	struct ifreq request = {0};

	if (strlen(name) >= sizeof(request.ifr_name))
		return 0;
	memcpy(request.ifr_name, name, strlen(name));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && ioctl(fd, SIOCGIFINDEX, &request) >= 0 ? (uint32_t)request.ifr_ifindex
								 : 0;
#else
	return if_nametoindex(name);
#endif
}

static int parse_scope(const char *text, uint32_t *ret_scope)
{
	if (*text == '\0')
		return ADDR_E_SYNTAX;
	if (parse_number(text, UINT32_MAX, ret_scope) == 0)
		return *ret_scope == 0 ? ADDR_E_SYNTAX : 0;

	*ret_scope = interface_number(text);
	return *ret_scope == 0 ? ADDR_E_SCOPE : 0;
}

static int parse_in6(const char *text, uint16_t port, struct addr *ret_addr)
{
	struct addr addr = {.len = sizeof(addr.in6)};
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "%");
	const char *percent = text + len;
	uint32_t scope = 0;
	int r;

	if (len >= sizeof(host))
		return ADDR_E_SYNTAX;
	memcpy(host, text, len);
	host[len] = '\0';

	addr.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	if (inet_pton(AF_INET6, host, &addr.in6.sin6_addr) != 1)
		return ADDR_E_SYNTAX;
	if (*percent) {
		r = parse_scope(percent + 1, &scope);
		if (r != 0)
			return r;
	}

	addr.in6.sin6_scope_id = scope;
	*ret_addr = addr;
	return 0;
}

int addr_parse(const char *text, uint16_t port, struct addr *ret_addr)
{
	struct addr addr = {.len = sizeof(addr.in)};

	addr.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, text, &addr.in.sin_addr) != 1)
		return parse_in6(text, port, ret_addr);

	*ret_addr = addr;
	return 0;
}

int addr_parse_unix(const char *path, struct addr *ret_addr)
{
	struct addr addr = {.len = UNIX_HEAD};
	bool is_abstract = *path == '@';
	size_t len = strlen(path);

	if (len <= is_abstract || len >= sizeof(addr.un.sun_path))
		return ADDR_E_SYNTAX;

	addr.un = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(addr.un.sun_path, path, len);
	if (is_abstract)
		addr.un.sun_path[0] = '\0';

	/* A path counts its NUL. An abstract name must not, or the NUL would be a part of it. */
	addr.len = (socklen_t)(UNIX_HEAD + len + !is_abstract);
	*ret_addr = addr;
	return 0;
}

/* Keeps the first `bits` of an address. */
static struct in6_addr mask(const struct in6_addr *host, unsigned bits)
{
	struct in6_addr masked = {0};

	memcpy(masked.s6_addr, host->s6_addr, bits / 8);
	if (bits % 8 != 0)
		masked.s6_addr[bits / 8] =
			(uint8_t)(host->s6_addr[bits / 8] & (0xff00U >> (bits % 8)));

	return masked;
}

int addr_parse_prefix(const char *text, struct addr_prefix *ret_prefix)
{
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	const char *slash = text + len;
	struct addr_prefix prefix;
	struct addr addr;
	uint32_t bits, before;

	if (len >= sizeof(host) || memchr(text, '%', len))
		return ADDR_E_SYNTAX;
	memcpy(host, text, len);
	host[len] = '\0';

	if (addr_parse(host, 0, &addr) != 0)
		return ADDR_E_SYNTAX;
	before = addr.sa.sa_family == AF_INET ? MAPPED_BITS : 0;
	bits = 128 - before;
	if (*slash && parse_number(slash + 1, bits, &bits) != 0)
		return ADDR_E_SYNTAX;

	prefix.base = addr_host6(&addr);
	prefix.bits = before + bits;
	if (!addr_prefix_has(&prefix, &prefix.base))
		return ADDR_E_SYNTAX;

	*ret_prefix = prefix;
	return 0;
}

static void format_in6(const struct in6_addr *host, uint32_t scope, char text[static ADDR_TEXT])
{
	if (IN6_IS_ADDR_V4MAPPED(host)) {
		inet_ntop(AF_INET, &host->s6_addr[12], text, ADDR_TEXT);
		return;
	}

	inet_ntop(AF_INET6, host, text, ADDR_TEXT);
	if (scope != 0)
		snprintf(text + strlen(text), ADDR_TEXT - strlen(text), "%%%u", scope);
}

static void format_unix(const struct addr *addr, char text[static ADDR_TEXT])
{
	size_t len = addr->len - UNIX_HEAD;

	if (addr->len <= UNIX_HEAD) {
		memcpy(text, "-", 2);
		return;
	}

	/* The kernel need not end a path that fills all of it; an abstract name may hold NULs. */
	if (addr->un.sun_path[0] != '\0')
		len = strnlen(addr->un.sun_path, len);
	for (size_t i = 0; i < len; i++)
		text[i] = addr->un.sun_path[i] ? addr->un.sun_path[i] : '@';
	text[len] = '\0';
}

const char *addr_format_host(const struct addr *addr, char text[static ADDR_TEXT])
{
	sa_family_t family = addr_family(addr);
	struct in6_addr host = addr_host6(addr);

	if (family == AF_INET)
		format_in6(&host, 0, text);
	else if (family == AF_INET6)
		format_in6(&host, addr->in6.sin6_scope_id, text);
	else if (family == AF_UNIX)
		format_unix(addr, text);
	else
		memcpy(text, "-", 2);

	return text;
}

const char *addr_format(const struct addr *addr, char text[static ADDR_TEXT])
{
	sa_family_t family = addr_family(addr);
	char host[ADDR_TEXT];
	bool brackets;

	if (family != AF_INET && family != AF_INET6)
		return addr_format_host(addr, text);

	addr_format_host(addr, host);
	/* It is at most 57 long, which the compiler cannot know. */
	brackets = strchr(host, ':') != NULL;
	snprintf(text, ADDR_TEXT, "%s%.*s%s:%u", brackets ? "[" : "", ADDR_TEXT - 16, host,
		brackets ? "]" : "", (unsigned)addr_port(addr));
	return text;
}

const char *addr_format_prefix(const struct addr_prefix *prefix, char text[static ADDR_TEXT])
{
	bool is_in = prefix->bits >= MAPPED_BITS && IN6_IS_ADDR_V4MAPPED(&prefix->base);
	unsigned before = is_in ? MAPPED_BITS : 0;

	if (is_in)
		inet_ntop(AF_INET, &prefix->base.s6_addr[12], text, ADDR_TEXT);
	else
		inet_ntop(AF_INET6, &prefix->base, text, ADDR_TEXT);
	snprintf(text + strlen(text), ADDR_TEXT - strlen(text), "/%u", prefix->bits - before);

	return text;
}

static uint32_t addr_scope(const struct addr *addr)
{
	return addr_family(addr) == AF_INET6 ? addr->in6.sin6_scope_id : 0;
}

static bool is_internet(const struct addr *addr)
{
	return addr_family(addr) == AF_INET || addr_family(addr) == AF_INET6;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	struct in6_addr host_a = addr_host6(a), host_b = addr_host6(b);

	if (is_internet(a) != is_internet(b))
		return false;
	if (!is_internet(a))
		return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;

	return addr_port(a) == addr_port(b) && addr_scope(a) == addr_scope(b) &&
		memcmp(&host_a, &host_b, sizeof(host_a)) == 0;
}

bool addr_is_wildcard(const struct addr *addr)
{
	if (addr_family(addr) == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	return addr_family(addr) == AF_INET && addr->in.sin_addr.s_addr == INADDR_ANY;
}

uint16_t addr_port(const struct addr *addr)
{
	switch (addr_family(addr)) {
	case AF_INET:
		return ntohs(addr->in.sin_port);
	case AF_INET6:
		return ntohs(addr->in6.sin6_port);
	default:
		return 0;
	}
}

struct in6_addr addr_host6(const struct addr *addr)
{
	struct in6_addr host = {0};

	if (addr_family(addr) == AF_INET6)
		return addr->in6.sin6_addr;
	if (addr_family(addr) == AF_INET) {
		host.s6_addr[10] = 0xff;
		host.s6_addr[11] = 0xff;
		memcpy(&host.s6_addr[12], &addr->in.sin_addr, 4);
	}

	return host;
}

void addr_prefix_cut(struct addr_prefix *prefix)
{
	prefix->base = mask(&prefix->base, prefix->bits);
}

bool addr_prefix_has(const struct addr_prefix *prefix, const struct in6_addr *host)
{
	struct in6_addr masked = mask(host, prefix->bits);

	return memcmp(&masked, &prefix->base, sizeof(masked)) == 0;
}
