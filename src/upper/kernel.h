/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The ways to upper-case: one that runs anywhere, and room for those that want a certain processor.
 * Private to this room; tests and fuzzers use it to try each way that the machine can run. */

#include <upper/upper.h>

struct upper_kernel {
	const char *name;
	bool (*supported)(void); /* by the processor that this runs on */
	int (*convert)(const struct upper_rule *rule, bool last, struct upper_in *in,
		struct upper_out *out); /* the contract of upper_convert() */
};

/* Runs anywhere, and is what every other is compared with. */
extern const struct upper_kernel upper_kernel_portable;

/* For processors with AVX-512 (its parts F and BW) and BMI2. */
extern const struct upper_kernel upper_kernel_avx512;

/* The same, with AVX-512 VBMI and VBMI2. */
extern const struct upper_kernel upper_kernel_vbmi2;

/* All of them, the best first and the portable one last; NULL ends the list. */
extern const struct upper_kernel *const upper_kernels[];
