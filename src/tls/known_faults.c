/* SPDX-License-Identifier: Apache-2.0 */

/* Faults of OpenSSL that touch a server like this one, by version: one row each. Must hold no type of the
 * library, so that every row can be tested with any.
 *
 * A distribution may mend a fault and keep the version, so a row tells of what to look for. Where something
 * stands in front of the fault it is a remark, else a warning. A row goes when its last version does. */

#include <stdlib.h>

#include "tls/tls.h"

#define VERSION(major, minor, patch) ((major)*10000u + (minor)*100u + (patch))

static const struct {
	unsigned first, last; /* versions that have it, as far as is known */
	bool only_datagrams;
	struct tls_known_fault fault;
} rows[] = {
	{VERSION(3, 2, 0), VERSION(3, 5, 8), false,
		{"CVE-2026-72897",
			"memory is read out of bounds when a server name selects a certificate",
			"only among contexts with different providers, and all of a process have "
			"the same"}},
	{VERSION(3, 0, 0), VERSION(3, 5, 8), true,
		{"CVE-2026-75806", "one forged record that is too short ends a session",
			"such records are dropped before they reach it, and counted as "
			"dtls_forged"}},
	{VERSION(3, 0, 0), VERSION(3, 5, 7), true,
		{"CVE-2026-54874", "records of a later epoch are kept without a bound",
			"such records are dropped before they reach it, and counted as "
			"dtls_forged"}},
	{VERSION(3, 5, 0), VERSION(3, 5, 8), true,
		{"CVE-2026-84782", "a handshake message that is sent again may hold other data",
			NULL}},
};

/* 0: no version. */
static unsigned version_number(const char *version)
{
	unsigned number = 0;

	for (int part = 0; part < 3; part++) {
		char *end;
		unsigned long n;

		if (!version || *version < '0' || *version > '9')
			return 0;
		n = strtoul(version, &end, 10);
		if (n > 99)
			return 0;
		number = number * 100 + (unsigned)n;
		version = part < 2 && *end != '.' ? NULL : end + 1;
	}
	return number;
}

const struct tls_known_fault *tls_known_fault(const char *version, bool is_datagram, size_t *at)
{
	const unsigned number = version_number(version);

	while (*at < sizeof(rows) / sizeof(*rows)) {
		size_t i = (*at)++;

		if (rows[i].first <= number && number <= rows[i].last &&
			(is_datagram || !rows[i].only_datagrams))
			return &rows[i].fault;
	}
	return NULL;
}
