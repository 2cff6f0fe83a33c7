/* SPDX-License-Identifier: Apache-2.0 */

/* The services: for each row of SERVICES a struct here, and the function that answers. */

#include "core/service.h"

#include <string.h>

static const char received[] = "Message received.";

static int answer_echo(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	size_t length = (size_t)(in->end - in->at);
	size_t room = (size_t)(out->end - out->at);
	size_t fits = length < room ? length : room;

	if (fits > 0) {
		memcpy(out->at, in->at, fits);
		in->at += fits;
		out->at += fits;
	}

	return fits < length ? UPPER_E_ROOM : 0;
}

/* No input is no message: the call that only says that the input has ended draws no answer. */
static int answer_acknowledge(
	const struct upper_rule *rule, bool last, struct upper_in *in, struct upper_out *out)
{
	const size_t length = sizeof(received) - 1;

	if (in->at == in->end)
		return 0;
	if ((size_t)(out->end - out->at) < length)
		return UPPER_E_ROOM;

	memcpy(out->at, received, length);
	in->at = in->end;
	out->at += length;
	return 0;
}

typedef uint64_t word_pair __attribute__((vector_size(16)));

static inline word_pair pair_at(const uint8_t *data)
{
	word_pair pair;

	memcpy(&pair, data, sizeof(pair));
	return pair;
}

static bool is_ascii(const uint8_t *data, size_t len)
{
	const size_t size = sizeof(word_pair);
	word_pair any = {0};
	uint8_t rest = 0;

	for (; len >= 4 * size; data += 4 * size, len -= 4 * size)
		any |= (pair_at(data) | pair_at(data + size)) |
			(pair_at(data + 2 * size) | pair_at(data + 3 * size));
	for (; len > 0; data++, len--)
		rest |= *data;
	return ((any[0] | any[1]) & 0x8080808080808080) == 0 && rest < 0x80;
}

static const struct service service_uppercase = {
	.answer = upper_convert,
	.is_bytewise = is_ascii,
};

static const struct service service_echo = {
	.answer = answer_echo,
};

static const struct service service_acknowledge = {
	.answer = answer_acknowledge,
	.acknowledges = true,
};

const struct service *const services[N_SERVICES] = {
#define SERVICE(name) &service_##name,
	SERVICES(SERVICE)
#undef SERVICE
};
