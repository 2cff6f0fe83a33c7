/* SPDX-License-Identifier: Apache-2.0 */

/* A header is read the same however it arrives: every shorter piece of it asks for more, and what
 * follows it changes nothing. The first byte chooses between streams and datagrams. */

#include <string.h>

#include "core/proxy.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole = {0}, again = {0};
	enum proxy_kind kind;
	int r;

	if (size < 1)
		return 0;
	kind = data[0] & 1 ? PROXY_DATAGRAM : PROXY_STREAM;
	data++;
	size--;
	r = proxy_parse(kind, data, size, &whole);
	if (r != 0)
		return 0;

	require(whole.length > 0 && whole.length <= size && whole.length <= PROXY_LONGEST);
	for (size_t n = 0; n < whole.length; n++)
		require(proxy_parse(kind, data, n, &again) == PROXY_E_MORE);
	require(proxy_parse(kind, data, whole.length, &again) == 0);
	require(memcmp(&whole, &again, sizeof(whole)) == 0);
	return 0;
}
