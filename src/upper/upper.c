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

_public_ const char *upper_unicode_version(void)
{
	return UPPER_UNICODE_VERSION;
}
