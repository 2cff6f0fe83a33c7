/* SPDX-License-Identifier: Apache-2.0 */

/* How fast text becomes upper case: every kernel of libupper that this processor can run, beside a
 * plain copy and the libraries that were found when this was built. Prints one line a sample:
 *
 *     CONTENDER TEXT BYTES NANOSECONDS
 *
 * the last being CPU time for one message. All take turns within a round, so that whatever else the
 * machine does falls on all alike. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if HAVE_ICU
#include <unicode/ucasemap.h>
#endif
#if HAVE_UNISTRING
#include <unicase.h>
#endif
#if HAVE_GLIB
#include <glib.h>
#endif

#include "texts.h"
#include "upper/kernel.h"

#define LONGEST      ((size_t)65536)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
static const size_t sizes[] = {16, 64, 1024, 65536};

static uint8_t text[LONGEST], answer[UPPER_EXPANSION * LONGEST];
static const struct upper_kernel *kernel;

static size_t run_kernel(size_t size)
{
	struct upper_in in = {text, text + size};
	struct upper_out out = {answer, answer + sizeof(answer)};

	kernel->convert(&rule, true, &in, &out);
	return (size_t)(out.at - answer);
}

static size_t run_memcpy(size_t size)
{
	memcpy(answer, text, size);
	return size;
}

#if HAVE_ICU
static size_t run_icu(size_t size)
{
	static UCaseMap *map;
	UErrorCode error = U_ZERO_ERROR;

	if (!map)
		map = ucasemap_open("", 0, &error);
	return (size_t)ucasemap_utf8ToUpper(
		map, (char *)answer, sizeof(answer), (const char *)text, (int32_t)size, &error);
}
#endif

#if HAVE_UNISTRING
static size_t run_unistring(size_t size)
{
	size_t length = sizeof(answer);

	return u8_toupper(text, size, NULL, NULL, answer, &length) ? length : 0;
}
#endif

#if HAVE_GLIB
static size_t run_glib(size_t size)
{
	char *upper = g_utf8_strup((const char *)text, (gssize)size);
	size_t length = strlen(upper);

	g_free(upper);
	return length;
}
#endif

/* `strict`: wants UTF-8, and is spared what is not. */
static const struct contender {
	const char *name;
	size_t (*run)(size_t size);
	bool strict;
} others[] = {
	{"memcpy", run_memcpy, false},
#if HAVE_ICU
	{"icu", run_icu, true},
#endif
#if HAVE_UNISTRING
	{"libunistring", run_unistring, true},
#endif
#if HAVE_GLIB
	{"glib", run_glib, true},
#endif
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Goes on for `budget_ns`, in groups that grow, so that reading the clock costs nothing. */
static double measure(size_t (*run)(size_t size), size_t size, double budget_ns)
{
	double begin, spent;
	size_t done = 0;

	run(size);
	begin = now_ns();
	for (size_t group = 1;; group *= 2) {
		for (size_t i = 0; i < group; i++) {
			run(size);
			__asm__ volatile("" ::: "memory"); /* the compiler may not drop a run */
		}
		done += group;
		spent = now_ns() - begin;
		if (spent > budget_ns)
			return spent / (double)done;
	}
}

static void round_of(const struct text *what, size_t size, double budget_ns)
{
	bool hostile = strcmp(what->name, "invalid") == 0;

	text_fill(what, text, size);
	for (size_t i = 0; upper_kernels[i]; i++) {
		kernel = upper_kernels[i];
		if (kernel->supported())
			printf("%s %s %zu %.2f\n", kernel->name, what->name, size,
				measure(run_kernel, size, budget_ns));
	}
	for (size_t i = 0; i < COUNT(others); i++)
		if (!hostile || !others[i].strict)
			printf("%s %s %zu %.2f\n", others[i].name, what->name, size,
				measure(others[i].run, size, budget_ns));
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s ROUNDS MICROSECONDS-A-SAMPLE\n", argv[0]);
		return EXIT_FAILURE;
	}

	long rounds = strtol(argv[1], NULL, 10);
	double budget_ns = strtod(argv[2], NULL) * 1000;

	for (long r = 0; r < rounds; r++)
		for (const struct text *what = texts; what->name; what++)
			for (size_t i = 0; i < COUNT(sizes); i++)
				round_of(what, sizes[i], budget_ns);

	return EXIT_SUCCESS;
}
