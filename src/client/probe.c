/* SPDX-License-Identifier: Apache-2.0 */

#include "client/probe.h"

#define TAG 16 /* one letter for each four bits of the number */

void probe_write(uint8_t *text, size_t size, uint64_t number)
{
	for (size_t i = 0; i < TAG; i++)
		text[i] = (uint8_t)('a' + ((number >> (60 - 4 * i)) & 15));
	for (size_t i = TAG; i < size - 1; i++)
		text[i] = (uint8_t)('a' + i % 26);
	text[size - 1] = '\n';
}

uint64_t probe_number(const uint8_t *answer, size_t len)
{
	uint64_t number = 0;

	if (len < TAG)
		return UINT64_MAX;
	for (size_t i = 0; i < TAG; i++) {
		if (answer[i] < 'A' || answer[i] > 'P')
			return UINT64_MAX;
		number = number << 4 | (uint64_t)(answer[i] - 'A');
	}
	return number;
}
