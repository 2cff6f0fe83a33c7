/* SPDX-License-Identifier: Apache-2.0 */

/* Loads a server, looks at every answer, and says what it cost the server:
 *
 *     load WAY PORT FLOWS DEPTH SIZE SEGMENTED SECONDS PID...
 *
 * prints MESSAGES BYTES WRONG LOST CPU-NANOSECONDS WALL-NANOSECONDS of the time that was measured,
 * which begins when all is set up and a tenth of the time has passed. CPU time is that of all threads
 * of the processes named; wall time is too noisy to compare by. */

#include "load.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct way *const ways[] = {
	&way_udp, &way_tcp, &way_bulk, &way_connect, &way_idle, NULL};

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

/* The first number of a thread's schedstat: nanoseconds on a processor. */
static double thread_cpu_ns(const char *pid, const char *thread)
{
	char path[300];
	double ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/schedstat", pid, thread);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%lf", &ns) != 1)
		ns = 0;
	fclose(file);
	return ns;
}

static double process_cpu_ns(const char *pid)
{
	struct dirent *entry;
	double sum = 0;
	char path[64];
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	threads = opendir(path);
	must(threads != NULL, path);
	while ((entry = readdir(threads)))
		if (entry->d_name[0] != '.')
			sum += thread_cpu_ns(pid, entry->d_name);
	closedir(threads);
	return sum;
}

static double cpu_ns(char *const *pids)
{
	double sum = 0;

	for (; *pids; pids++)
		sum += process_cpu_ns(*pids);
	return sum;
}

static void run(const struct way *way, const struct order *order, char *const *pids)
{
	struct tally tally = {0}, before;
	void *state = way->begin(order);
	double wall, cpu, begin = now_ns();

	while (now_ns() - begin < order->seconds * 1e8)
		way->round(state, order, &tally);

	before = tally;
	cpu = cpu_ns(pids);
	wall = now_ns();
	while (now_ns() - wall < order->seconds * 1e9)
		way->round(state, order, &tally);
	wall = now_ns() - wall;
	cpu = cpu_ns(pids) - cpu;

	printf("%llu %llu %llu %llu %.0f %.0f\n",
		(unsigned long long)(tally.messages - before.messages),
		(unsigned long long)(tally.bytes - before.bytes), (unsigned long long)tally.wrong,
		(unsigned long long)tally.lost, cpu, wall);
	way->end(state, order);
}

int main(int argc, char **argv)
{
	struct order order = {.server = {.sin_family = AF_INET}};

	if (argc < 8) {
		fprintf(stderr, "usage: %s WAY PORT FLOWS DEPTH SIZE SEGMENTED SECONDS PID...\n",
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
