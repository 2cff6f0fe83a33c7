/* SPDX-License-Identifier: Apache-2.0 */

/* The public face: picks a way to upper-case, and adds nothing to it. The choice is made anew in
 * every call, which costs a few instructions and keeps the library without state. */

#include <upper/upper.h>

#include "upper/export.h"
#include "upper/kernel.h"
#include "upper/upper_table.h"

const struct upper_kernel *const upper_kernels[] = {
#ifdef __x86_64__
	&upper_kernel_avx512,
#endif
	&upper_kernel_portable,
	NULL,
};

static const struct upper_kernel *best_kernel(void)
{
	for (size_t i = 0; upper_kernels[i]; i++)
		if (upper_kernels[i]->supported())
			return upper_kernels[i];

	return &upper_kernel_portable;
}

_public_ int upper_convert(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	return best_kernel()->convert(rule, last, in, out);
}

_public_ size_t upper_string(const char *text, size_t len, char *to, size_t size)
{
	static const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	uint8_t *begin = (uint8_t *)to, beyond[512];
	const uint8_t *from = (const uint8_t *)text;
	struct upper_in in = {from, len > 0 ? from + len : from};
	struct upper_out out = {begin, size > 1 ? begin + size - 1 : begin};
	int r = upper_convert(&rule, true, &in, &out);
	size_t length = (size_t)(out.at - begin);

	if (size > 0)
		*out.at = '\0';
	while (r == UPPER_E_ROOM) { /* the rest is only measured */
		out = (struct upper_out){beyond, beyond + sizeof(beyond)};
		r = upper_convert(&rule, true, &in, &out);
		length += (size_t)(out.at - beyond);
	}
	return length;
}

_public_ const char *upper_unicode_version(void)
{
	return UPPER_UNICODE_VERSION;
}
