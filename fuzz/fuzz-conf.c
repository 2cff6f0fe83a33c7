/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration: whatever loads is dumped, and the dump loads and dumps as the same text. */

#include <string.h>

#include "conf-load.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_bytes given = {(const char *)data, size}, dumped;
	char *first = conf_load_and_dump(&given), *second;

	if (!first)
		return 0;

	dumped = (struct conf_bytes){first, strlen(first)};
	second = conf_load_and_dump(&dumped);
	require(second && strcmp(first, second) == 0);

	free(first);
	free(second);
	return 0;
}
