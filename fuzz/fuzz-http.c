/* SPDX-License-Identifier: Apache-2.0 */

/* A request is judged the same byte by byte as in one piece, within the longest head, and its spans lie in it. */

#include <string.h>

#include "child/http.h"
#include "fuzz.h"

static void require_inside(struct http_span span, const char *text, size_t size)
{
	require(!span.at ||
		(span.at >= text && span.len <= size && span.at + span.len <= text + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct http_request whole = {0}, growing = {0};
	int r, s = HTTP_E_MORE;

	r = http_parse(text, size, &whole);
	for (size_t n = 0; n <= size && s == HTTP_E_MORE; n++)
		s = http_parse(text, n, &growing);

	require(r == s && whole.status == growing.status && whole.is_head == growing.is_head);
	require((r == HTTP_E_MORE) == (whole.status == 0));
	require(r != HTTP_E_MORE || size < HTTP_LONGEST);
	require(memcmp(&whole.path, &growing.path, sizeof(whole.path)) == 0);
	require_inside(whole.path, text, size);
	require_inside(whole.host, text, size);
	require_inside(whole.origin, text, size);
	require_inside(whole.accept, text, size);
	require(http_quality(whole.accept, "text/plain", "1.0") <= 1000);
	require_inside(http_host_name(whole.host), text, size);
	http_host_is_local(whole.host);
	http_origin_is_same(&whole);
	return 0;
}
