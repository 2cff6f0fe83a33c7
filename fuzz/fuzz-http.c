/* SPDX-License-Identifier: Apache-2.0 */

/* A request gets the same verdict byte by byte as in one piece, and none is heard for ever. */

#include "core/http.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct http_verdict whole = {0}, growing = {0};
	int r, s = HTTP_E_MORE;

	r = http_parse(text, size, "/metrics", &whole);
	for (size_t n = 0; n <= size && s == HTTP_E_MORE; n++)
		s = http_parse(text, n, "/metrics", &growing);

	require(r == s && whole.status == growing.status && whole.is_head == growing.is_head);
	require((r == HTTP_E_MORE) == (whole.status == 0));
	require(r != HTTP_E_MORE || size < HTTP_LONGEST);
	return 0;
}
