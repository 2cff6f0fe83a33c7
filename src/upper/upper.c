/* SPDX-License-Identifier: Apache-2.0 */

/* libupper: the public calls. The work is done by a kernel, of which there are three with one contract, and tests
 * hold them to the same bytes. To read on, in this order:
 *
 *   upper_table.h   what changes: generated from the Unicode database by scripts/make-table, which explains it
 *   utf8.h          one character of a text, or what stands in its place; the only decoder there is
 *   portable.c      runs anywhere, and alone decides about what is not UTF-8, is cut, or does not fit
 *   avx512.c        blocks of 64 bytes by AVX-512, which avx512_block.h looks at; the rest by portable.c
 *   vbmi2_stride.h  strides through long texts, for processors with VBMI2; the rest by avx512.c
 *   frame.c         where a message ends; knows nothing of the others
 *
 * * A conversion has no state: the caller's spans advance, an unfinished character of at most three
 * bytes stays in the input for the next call, and a character is written whole or not at all. So any
 * split of a text gives the same bytes, and a caller needs no buffer of three times its input.
 *
 * * The kernel is chosen anew in every call. The choice costs a few instructions, and keeps the library
 * without globals that are written: it may be called from any thread and from a signal handler.
 *
 * * A new kernel is a file with a struct upper_kernel, and its place in upper_kernels; the tests then
 * run it on every machine that can. */

#include <upper/upper.h>

#include "upper/export.h"
#include "upper/kernel.h"
#include "upper/upper_table.h"

const struct upper_kernel *const upper_kernels[] = {
#ifdef __x86_64__
	&upper_kernel_vbmi2,
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
