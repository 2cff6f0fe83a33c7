/* SPDX-License-Identifier: Apache-2.0 */

/* Upper-cases for oracle.py, over pipes. A question is the policy for invalid bytes and the number
 * of pieces (a byte and a 16-bit number), then each piece behind its length (16 bits). The answer
 * is the outcome (a byte), the length (32 bits) and the bytes. Numbers are as this machine has
 * them. It ends with its input, and with an error when the input ends inside a question. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upper/upper.h>

#define PIECE ((size_t)UINT16_MAX)

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
	get(text + *unfinished, length);

	struct upper_in in = {text, text + *unfinished + length};
	r = upper_convert(rule, last, &in, out);
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

	for (get(&pieces, sizeof(pieces)); pieces > 0; pieces--)
		r = convert_piece(&rule, pieces == 1, &unfinished, &out);

	const uint8_t outcome = (uint8_t)r;
	const uint32_t length = (uint32_t)(out.at - answer);
	put(&outcome, sizeof(outcome));
	put(&length, sizeof(length));
	put(answer, length);
}

int main(void)
{
	int invalid;

	printf("%s\n", upper_unicode_version());
	fflush(stdout);
	while ((invalid = getchar()) != EOF) {
		answer_question((enum upper_invalid)invalid);
		fflush(stdout);
	}

	return 0;
}
