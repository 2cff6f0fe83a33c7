/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-cases for oracle.py with the kernel that is named, over pipes; exits with 77, as test runners
 * know it, when this processor cannot. A question is the policy for invalid bytes and the number
 * of pieces (a byte and a 16-bit number), then each piece behind its length (16 bits). The answer
 * is the outcome (a byte), the length (32 bits) and the bytes. Numbers are as this machine has
 * them. It ends with its input, and with an error when the input ends inside a question. */

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upper/upper.h>

#include "upper/kernel.h"

#define PIECE ((size_t)UINT16_MAX)
#define SKIP  77

static const struct upper_kernel *kernel;
static uint8_t text[UPPER_UNFINISHED + PIECE];
static uint8_t answer[(size_t)64 * 1024 * 1024];

static void get(void *to, size_t size)
{
	if (fread(to, 1, size, stdin) != size)
		exit(EXIT_FAILURE);
}

static void put(const void *from, size_t size)
{
	if (fwrite(from, 1, size, stdout) != size)
		exit(EXIT_FAILURE);
}

static int convert_piece(
	const struct upper_rule *rule, bool last, size_t *unfinished, struct upper_out *out)
{
	uint16_t length;
	int r;

	get(&length, sizeof(length));
	length = le16toh(length);
	get(text + *unfinished, length);

	struct upper_in in = {text, text + *unfinished + length};
	r = kernel->convert(rule, last, &in, out);
	*unfinished = (size_t)(in.end - in.at);
	if (r == UPPER_E_UNFINISHED)
		memmove(text, in.at, *unfinished);

	return r;
}

static void answer_question(enum upper_invalid invalid)
{
	const struct upper_rule rule = {UPPER_UTF8, invalid};
	struct upper_out out = {answer, answer + sizeof(answer)};
	size_t unfinished = 0;
	uint16_t pieces;
	int r = 0;

	get(&pieces, sizeof(pieces));
	for (pieces = le16toh(pieces); pieces > 0; pieces--)
		r = convert_piece(&rule, pieces == 1, &unfinished, &out);

	const uint8_t outcome = (uint8_t)r;
	const size_t length = (size_t)(out.at - answer);
	const uint32_t said = htole32((uint32_t)length);
	put(&outcome, sizeof(outcome));
	put(&said, sizeof(said));
	put(answer, length);
}

static const struct upper_kernel *find_kernel(const char *name)
{
	for (size_t i = 0; upper_kernels[i]; i++)
		if (strcmp(upper_kernels[i]->name, name) == 0 && upper_kernels[i]->supported())
			return upper_kernels[i];

	exit(SKIP);
}

int main(int argc, char **argv)
{
	int invalid;

	if (argc != 2)
		return EXIT_FAILURE;
	kernel = find_kernel(argv[1]);
	printf("%s\n", upper_unicode_version());
	fflush(stdout);
	while ((invalid = getchar()) != EOF) {
		answer_question((enum upper_invalid)invalid);
		fflush(stdout);
	}

	return 0;
}
