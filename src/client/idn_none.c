/* SPDX-License-Identifier: Apache-2.0 */

#include "client/idn.h"

int idn_to_ascii(const char *name, char *ascii, size_t size, struct why *why)
{
	return why_set(why, CLIENT_E_USAGE,
		"\"%s\" is not ASCII, and this build has no IDN; write the name as xn--...", name);
}
