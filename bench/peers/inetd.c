/* SPDX-License-Identifier: Apache-2.0 */

/* What xinetd starts for each connection, which is its input and output: peer-inetd. */

#include <stdlib.h>
#include <unistd.h>
#include <upper/upper.h>

int main(void)
{
	static uint8_t in[65536], out[UPPER_EXPANSION * sizeof(in)];
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	ssize_t n;

	while ((n = read(STDIN_FILENO, in, sizeof(in))) > 0) {
		struct upper_in i = {in, in + n};
		struct upper_out o = {out, out + sizeof(out)};

		upper_convert(&rule, true, &i, &o);
		if (write(STDOUT_FILENO, out, (size_t)(o.at - out)) < 0)
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
