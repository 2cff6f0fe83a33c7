/* SPDX-License-Identifier: Apache-2.0 */

#include "client/idn.h"

#include <idn2.h>
#include <string.h>

int idn_to_ascii(const char *name, char *ascii, size_t size, struct why *why)
{
	uint8_t *found = NULL;
	size_t len;
	int r;

	r = idn2_lookup_u8((const uint8_t *)name, &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (r != IDN2_OK)
		return why_set(why, CLIENT_E_USAGE, "\"%s\" is no name of a host: %s", name,
			idn2_strerror(r));
	len = strlen((const char *)found);
	if (len < size)
		memcpy(ascii, found, len + 1);
	idn2_free(found);
	return len < size ? 0 : why_set(why, CLIENT_E_USAGE, "the host is too long");
}
