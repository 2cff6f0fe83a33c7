/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-casing: by each kernel that runs here, any split gives what one piece gives, and what the
 * slow one gives. The first byte is the policy for invalid bytes, the second the size of the pieces,
 * and the rest the text. */

#include "feed.h"
#include "slow.h"

static void hold(const struct upper_kernel *kernel, const uint8_t *data, size_t size)
{
	const struct upper_rule rule = {UPPER_UTF8, data[0] % 3};
	struct feed whole = feed_new(size - 2), split = feed_new(size - 2);
	struct feed slow = feed_new(size - 2);
	bool invalid;
	int r;

	whole.kernel = split.kernel = kernel;
	r = feed(&whole, &rule, data + 2, size - 2, size);
	slow.made = slow_convert(rule.invalid, data + 2, size - 2, slow.bytes, &invalid);
	require(whole.made <= UPPER_EXPANSION * (size - 2));
	require(feed_equal(&whole, &slow) && (r == UPPER_E_INVALID) == invalid);
	require(feed(&split, &rule, data + 2, size - 2, 1 + data[1] % 80) == r);
	require(feed_equal(&whole, &split));

	feed_done(&whole);
	feed_done(&split);
	feed_done(&slow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; size >= 2 && upper_kernels[i]; i++)
		if (upper_kernels[i]->supported())
			hold(upper_kernels[i], data, size);
	return 0;
}
