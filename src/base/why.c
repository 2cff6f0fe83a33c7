/* SPDX-License-Identifier: Apache-2.0 */

#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_set(struct why *why, int outcome, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return outcome;
}
