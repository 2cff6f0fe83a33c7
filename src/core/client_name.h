/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names that a client certificate is let in by, as tls.client_names lists them:
 *
 *     dns:NAME                       a DNS name among its subject alternative names
 *     uri:spiffe://DOMAIN/PATH       a URI among them, byte for byte
 *     uri:spiffe://DOMAIN/PATH/ *    (without the blank) one that goes on behind this slash
 *     spki:sha256:DIGEST             its public key, in hex or base64 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_NAME_SPKI_PREFIX "spki:sha256:"
#define CLIENT_NAME_DIGEST      32

enum client_name_kind { CLIENT_NAME_DNS, CLIENT_NAME_URI, CLIENT_NAME_SPKI };

struct client_name {
	enum client_name_kind kind;
	bool is_prefix;   /* of a URI: up to its last slash, with more behind it */
	const char *text; /* within the entry; of a DNS name or a URI */
	size_t len;
	uint8_t digest[CLIENT_NAME_DIGEST]; /* of the DER form of a public key */
};

/* NULL, or what is wrong with the entry and what would do, as a clause. The result points into the entry. */
const char *client_name_parse(const char *entry, struct client_name *ret_name);

/* Whether what a certificate has, which may be any bytes, is listed by this entry. DNS names are compared
 * without case. A URI with an empty segment, a dot segment, an escape or a letter that no SPIFFE id has is
 * listed by none. */
bool client_name_lists(
	const struct client_name *name, enum client_name_kind kind, const void *data, size_t len);
