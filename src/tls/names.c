/* SPDX-License-Identifier: Apache-2.0 */

/* Which certificate a client gets. The names are read once; a handshake only compares. */

#include <ctype.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tls/inside.h"

/* A name with a zero inside is no name, but an attempt. */
static char *name_of(const GENERAL_NAME *general)
{
	const ASN1_IA5STRING *text = general->d.dNSName;
	size_t len = (size_t)ASN1_STRING_length(text);
	char *name = strndup((const char *)ASN1_STRING_get0_data(text), len);

	if (!name || strlen(name) != len) {
		free(name);
		return NULL;
	}
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}

int names_of(X509 *x509, char ***ret_names, size_t *ret_n)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	int n_all = sk_GENERAL_NAME_num(all);
	char **names = calloc(n_all > 0 ? (size_t)n_all : 1, sizeof(*names));
	size_t n = 0;

	for (int i = 0; names && i < n_all; i++) {
		const GENERAL_NAME *general = sk_GENERAL_NAME_value(all, i);

		if (general->type == GEN_DNS && (names[n] = name_of(general)))
			n++;
	}
	GENERAL_NAMES_free(all);
	if (!names)
		return -ENOMEM;
	*ret_names = names;
	*ret_n = n;
	return 0;
}

/* "*.example.org" is for what has one label more, and for nothing else. */
static bool is_wildcard_for(const char *name, const char *host)
{
	const char *rest = strchr(host, '.');

	return name[0] == '*' && name[1] == '.' && rest && rest != host &&
		strcasecmp(name + 1, rest) == 0;
}

static bool is_exactly(const char *name, const char *host)
{
	return strcasecmp(name, host) == 0;
}

static bool certificate_is(const struct certificate *c, const char *host,
	bool (*fits)(const char *name, const char *host))
{
	for (size_t i = 0; i < c->n_names; i++)
		if (fits(c->names[i], host))
			return true;
	return false;
}

struct certificate *names_choose(const struct tls_context *context, const char *host)
{
	for (size_t i = 0; i < context->n; i++)
		if (certificate_is(&context->certificates[i], host, is_exactly))
			return &context->certificates[i];
	for (size_t i = 0; i < context->n; i++)
		if (certificate_is(&context->certificates[i], host, is_wildcard_for))
			return &context->certificates[i];
	return &context->certificates[0];
}

bool names_cover(const struct certificate *other, const struct certificate *one)
{
	for (size_t i = 0; i < one->n_names; i++)
		if (!certificate_is(other, one->names[i], is_exactly) &&
			!certificate_is(other, one->names[i], is_wildcard_for))
			return false;
	return true;
}
