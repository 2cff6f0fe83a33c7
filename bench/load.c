/* SPDX-License-Identifier: Apache-2.0 */

/* Loads a server, looks at every answer, and says what it cost the server:
 *
 *     load WAY PORT FLOWS DEPTH SIZE SEGMENTED SECONDS PID... [- PID...]
 *
 * prints MESSAGES BYTES WRONG LOST CPU-NANOSECONDS OTHER-NANOSECONDS WALL-NANOSECONDS of the time that
 * was measured, which begins when all is set up and a tenth of the time has passed. CPU time is that of
 * the processes named first, with all their threads and the children that they have waited for; the
 * other is that of those behind the dash. Wall time is too noisy to compare by. */

#include "load.h"
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct way *const ways[] = {&way_udp, &way_tcp, &way_bulk, &way_connect, &way_idle,
#if HAVE_TLS
	&way_tls, &way_tls_bulk, &way_tls_full, &way_tls_resumed, &way_tls_idle,
#endif
	NULL};

static uint8_t question[4096 + LONGEST], answer[4096 + LONGEST];

void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

const uint8_t *asked(size_t place)
{
	return question + place % 4096;
}

const uint8_t *wanted(size_t place)
{
	return answer + place % 4096;
}

static void prepare_texts(void)
{
	static const char words[] =
		"the quick brown fox jumps over the lazy dog, 64 times a day;\n";

	for (size_t i = 0; i < sizeof(question); i++) {
		char byte = words[i % 4096 % (sizeof(words) - 1)];

		question[i] = (uint8_t)byte;
		answer[i] = (uint8_t)(byte >= 'a' && byte <= 'z' ? byte - 32 : byte);
	}
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Of all threads, also of those that have ended. */
static double threads_cpu_ns(pid_t pid)
{
	struct timespec spent;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &spent) < 0)
		return 0;
	return (double)spent.tv_sec * 1e9 + (double)spent.tv_nsec;
}

/* Of children that were waited for, in ticks: two numbers that stand 14 and 15 words behind the name,
 * which may have spaces and ends with the last bracket. */
static double children_cpu_ns(const char *pid)
{
	char path[64], line[1024], *word;
	unsigned long ticks;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	word = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	for (int i = 0; word && i < 14; i++)
		word = strchr(word + 1, ' ');
	if (!word)
		return 0;
	ticks = strtoul(word, &word, 10);
	ticks += strtoul(word, NULL, 10);
	return (double)ticks * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

/* Up to the end, or to a dash. */
static double cpu_ns(char *const *pids)
{
	double sum = 0;

	for (; *pids && strcmp(*pids, "-") != 0; pids++)
		sum += threads_cpu_ns((pid_t)strtol(*pids, NULL, 10)) + children_cpu_ns(*pids);
	return sum;
}

static char *const *behind_dash(char *const *pids)
{
	while (*pids && strcmp(*pids, "-") != 0)
		pids++;
	return *pids ? pids + 1 : pids;
}

static void run(const struct way *way, const struct order *order, char *const *pids)
{
	struct tally tally = {0}, before;
	void *state = way->begin(order);
	char *const *others = behind_dash(pids);
	double wall, cpu, other, begin = now_ns();

	while (now_ns() - begin < order->seconds * 1e8)
		way->round(state, order, &tally);

	before = tally;
	cpu = cpu_ns(pids);
	other = cpu_ns(others);
	wall = now_ns();
	while (now_ns() - wall < order->seconds * 1e9)
		way->round(state, order, &tally);
	wall = now_ns() - wall;
	cpu = cpu_ns(pids) - cpu;
	other = cpu_ns(others) - other;

	printf("%llu %llu %llu %llu %.0f %.0f %.0f\n",
		(unsigned long long)(tally.messages - before.messages),
		(unsigned long long)(tally.bytes - before.bytes), (unsigned long long)tally.wrong,
		(unsigned long long)tally.lost, cpu, other, wall);
	way->end(state, order);
}

int main(int argc, char **argv)
{
	struct order order = {.server = {.sin_family = AF_INET}};

	if (argc < 8) {
		fprintf(stderr,
			"usage: %s WAY PORT FLOWS DEPTH SIZE SEGMENTED SECONDS PID... [- PID...]\n",
			argv[0]);
		return EXIT_FAILURE;
	}

	order.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	order.server.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	order.flows = (unsigned)strtoul(argv[3], NULL, 10);
	order.depth = (unsigned)strtoul(argv[4], NULL, 10);
	order.size = strtoul(argv[5], NULL, 10);
	order.segmented = strtoul(argv[6], NULL, 10) > 0;
	order.seconds = strtod(argv[7], NULL);
	prepare_texts();
	for (size_t i = 0; ways[i]; i++) {
		if (strcmp(ways[i]->name, argv[1]) == 0) {
			run(ways[i], &order, argv + 8);
			return EXIT_SUCCESS;
		}
	}
	fprintf(stderr, "load: %s: no such way\n", argv[1]);
	return EXIT_FAILURE;
}
