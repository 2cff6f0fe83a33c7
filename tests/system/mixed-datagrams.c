/* SPDX-License-Identifier: Apache-2.0 */

/* Several clients of UDP in one process, whose questions differ in length and text:
 *
 *     mixed-datagrams ADDRESS PORT CLIENTS DATAGRAMS SEED
 *
 * They send in turns of random length, with up to DEPTH questions on their way each, so that a server finds
 * questions of several clients in one batch. Each client compares each answer with its oldest question, in upper
 * case. Prints how many were right; fails at the first that is wrong, out of order, or missing. */

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <upper/upper.h>

#define DEPTH       24
#define TEXT_MAX    600
#define PATIENCE_MS 20000

struct client {
	int fd;
	unsigned first, n; /* of the ring: what is on its way */
	struct {
		char text[3 * TEXT_MAX];
		size_t len;
	} expected[DEPTH];
};

static const char *const pieces[] = {"a", "hello ", "straße", "\u0390", "\u0149", "日本", "я",
	"0123456789", "\xff",
	"a longer piece of an ordinary text, as it comes in lines of a letter; "};
static unsigned long long state;

static unsigned pick(unsigned below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % below;
}

static void must(int fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	exit(1);
}

/* Begins with a letter of lower case, so that no answer equals its question: that might be a loop. */
static size_t compose(char text[TEXT_MAX])
{
	size_t len = 1;

	text[0] = 'q';
	for (unsigned i = pick(6); i > 0; i--) {
		const char *piece = pieces[pick(sizeof(pieces) / sizeof(pieces[0]))];

		memcpy(text + len, piece, strlen(piece));
		len += strlen(piece);
	}
	return len;
}

/* A run of questions, many of them of one length. */
static unsigned ask(struct client *c, unsigned most)
{
	static char text[TEXT_MAX];
	static size_t len;
	unsigned n = 1 + pick(12), asked = 0;

	for (; asked < n && asked < most && c->n < DEPTH; asked++) {
		unsigned at = (c->first + c->n) % DEPTH;

		if (len == 0 || pick(3) == 0)
			len = compose(text);
		must(send(c->fd, text, len, 0) == (ssize_t)len, "send");
		c->expected[at].len =
			upper_string(text, len, c->expected[at].text, sizeof(c->expected[at].text));
		c->n++;
	}
	return asked;
}

static unsigned hear(struct client *c, int flags)
{
	static char answer[4 * TEXT_MAX];
	unsigned heard = 0;
	ssize_t len;

	while (c->n > 0 && (len = recv(c->fd, answer, sizeof(answer), flags)) >= 0) {
		must((size_t)len == c->expected[c->first].len &&
				memcmp(answer, c->expected[c->first].text, (size_t)len) == 0,
			"a wrong answer");
		c->first = (c->first + 1) % DEPTH;
		c->n--;
		heard++;
	}
	return heard;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned n_clients, total, asked = 0, heard = 0;
	struct client *clients;
	struct pollfd *polls;

	if (argc != 6)
		return 2;
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	n_clients = (unsigned)atoi(argv[3]);
	total = (unsigned)strtoul(argv[4], NULL, 10);
	state = strtoull(argv[5], NULL, 10);
	clients = calloc(n_clients, sizeof(*clients));
	polls = calloc(n_clients, sizeof(*polls));
	must(clients && polls, "memory");
	for (unsigned i = 0; i < n_clients; i++) {
		clients[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
		must(connect(clients[i].fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect");
		polls[i] = (struct pollfd){clients[i].fd, POLLIN, 0};
	}
	while (heard < total) {
		for (unsigned i = 0; i < 3 && asked < total; i++)
			asked += ask(&clients[pick(n_clients)], total - asked);
		must(poll(polls, n_clients, PATIENCE_MS) > 0, "no answer");
		for (unsigned i = 0; i < n_clients; i++)
			heard += hear(&clients[i], MSG_DONTWAIT);
	}
	printf("%u right\n", heard);
	free(clients);
	free(polls);
	return 0;
}
