/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The reason of a failure, in words for people: a sentence that names the thing that failed. It travels
 * beside an outcome or a negative errno, which is for the program. */

struct why {
	char text[512]; /* empty: no reason was given */
};

/* Sets the text, cut if it is too long, and returns `outcome`, so that a failure is one statement. */
__attribute__((format(printf, 3, 4))) int why_set(
	struct why *why, int outcome, const char *format, ...);
