/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Socket addresses and prefixes, as values: parse, print, compare. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
	socklen_t len; /* 0: no address */
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

/* `bits` counts in the IPv6 form: an IPv4 prefix is kept as ::ffff:a.b.c.d/96+n. */
struct addr_prefix {
	struct in6_addr base;
	unsigned bits;
};

/* Room for "[IPv6%scope]:port", and for a path with the end of the string. */
#define ADDR_TEXT 128

enum { ADDR_E_SYNTAX = 1, ADDR_E_SCOPE };

/* A literal IPv4 or IPv6 address, the latter with %scope if need be; never a name. ADDR_E_SCOPE
 * when there is no interface of that name here. */
int addr_parse(const char *text, uint16_t port, struct addr *ret_addr);
/* A path, or `@name` for an abstract socket; ADDR_E_SYNTAX when it is empty or too long. */
int addr_parse_unix(const char *path, struct addr *ret_addr);
/* "address/bits" or a bare address; ADDR_E_SYNTAX also when bits beyond the prefix are set. */
int addr_parse_prefix(const char *text, struct addr_prefix *ret_prefix);

/* "192.0.2.1:80", "[2001:db8::1]:80", "/run/x", "@x" or "-" for a nameless peer. An IPv4-mapped
 * address prints as IPv4, a scope as its number. Not escaped. Returns `text`. */
const char *addr_format(const struct addr *addr, char text[static ADDR_TEXT]);
/* The same without the port. */
const char *addr_format_host(const struct addr *addr, char text[static ADDR_TEXT]);
const char *addr_format_prefix(const struct addr_prefix *prefix, char text[static ADDR_TEXT]);

/* An IPv4 address and the same one IPv4-mapped are equal. */
bool addr_equal(const struct addr *a, const struct addr *b);
/* 0.0.0.0 or `::`. */
bool addr_is_wildcard(const struct addr *addr);
uint16_t addr_port(const struct addr *addr); /* 0 for what has none */
/* The host as 16 bytes, IPv4 as IPv4-mapped; all zero for a unix socket. */
struct in6_addr addr_host6(const struct addr *addr);
/* Clears the bits beyond the prefix. */
void addr_prefix_cut(struct addr_prefix *prefix);
bool addr_prefix_has(const struct addr_prefix *prefix, const struct in6_addr *host);
