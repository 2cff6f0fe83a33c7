/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every key there is, as one table: what parses, prints, explains and documents them reads this. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum conf_scope {
	SCOPE_TOP,         /* struct conf; keys have dots */
	SCOPE_LISTENER,    /* struct conf_listener */
	SCOPE_TLS,         /* struct conf_tls, at the top or in a listener */
	SCOPE_CERTIFICATE, /* struct conf_certificate */
	N_SCOPES
};

enum conf_type {
	TYPE_BOOL,         /* bool */
	TYPE_NUMBER,       /* unsigned */
	TYPE_PORT,         /* uint16_t; 0: unset */
	TYPE_COUNT,        /* uint64_t */
	TYPE_SIZE,         /* size_t, in bytes */
	TYPE_TIME,         /* uint64_t, in milliseconds */
	TYPE_RATIO,        /* double */
	TYPE_SAMPLE,       /* unsigned: one of so many; 0: none */
	TYPE_MODE,         /* mode_t */
	TYPE_WORD,         /* an enum */
	TYPE_STRING,       /* char *; NULL: unset */
	TYPE_STRINGS,      /* char ** and the size_t after it */
	TYPE_CLIENT_NAMES, /* the same; core/client_name.h */
	TYPE_ADDRESS,      /* struct addr, without its port */
	TYPE_PREFIXES,     /* struct conf_prefixes */
	TYPE_CERTIFICATES, /* struct conf_certificate * and the size_t after it */
	TYPE_TLS,          /* a group of SCOPE_TLS: struct conf_tls */
	TYPE_LISTENERS,    /* a list of groups of SCOPE_LISTENER */
};

/* Flags. Which listeners a key is for; none of these: all. */
#define ON_UDP       (1u << 0) /* 1 << enum conf_transport */
#define ON_TCP       (1u << 1)
#define ON_TLS       (1u << 2)
#define ON_DTLS      (1u << 3)
#define ON_DATAGRAMS (ON_UDP | ON_DTLS)
#define ON_STREAMS   (ON_TCP | ON_TLS)
#define ON_RECORDS   (ON_TLS | ON_DTLS)
#define ON_ALL       (ON_DATAGRAMS | ON_STREAMS)
#define ON_PORT      (1u << 4) /* only with an address */
#define ON_FILE      (1u << 5) /* only with a path, and not an abstract one */
/* Features of the build that it needs. */
#define NEEDS_TLS    (1u << 6)
#define NEEDS_ALL    NEEDS_TLS
#define REQUIRED     (1u << 7)

/* Room for one part of a key, such as "certificates". */
#define CONF_NAME 32

struct conf_word {
	const char *word; /* NULL ends the table */
	unsigned needs;
};

struct conf_row {
	const char *key;
	enum conf_type type;
	size_t offset;
	const char *preset; /* the default as it would stand in the file; NULL: unset */
	uint64_t min, max;  /* numbers; milliseconds; the length of strings; how many of a list */
	unsigned flags;
	const struct conf_word *words; /* by enum value */
	const char *meaning;           /* the first sentence about it in upperd.conf(5) */
};

struct conf_schema {
	const struct conf_row *rows;
	size_t n;
};

extern const struct conf_schema conf_schemas[N_SCOPES];
extern const struct conf_word conf_transports[];

/* NULL: no such key. */
const struct conf_row *conf_schema_find(enum conf_scope scope, const char *key);
/* Whether `key` is a group, such as "limits", and not a key itself. */
bool conf_schema_is_group(enum conf_scope scope, const char *key);
/* Writes the name within this scope and group (such as "limits.") that was perhaps meant; false
 * when nothing is near. */
bool conf_schema_suggest(enum conf_scope scope, const char *group, const char *name,
	char ret_name[static CONF_NAME]);

/* NULL when this build has what the flags need, or the reason why not, as a fault says it. */
const char *conf_schema_lacks(unsigned flags);
