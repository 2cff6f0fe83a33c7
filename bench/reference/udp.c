/* SPDX-License-Identifier: Apache-2.0 */

/* Bare datagram servers to compare with, one loop each and nothing around it:
 *
 *     reference-udp naive|batch|segment|address PORT
 *
 * naive: recvfrom, sendto. batch: recvmmsg, sendmmsg. segment: the same with UDP_GRO in and
 * UDP_SEGMENT out. address: that, and each answer leaves from the address that was asked, as PKTINFO
 * has it, and epoll does the waiting: the very calls that upperd makes. */

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <upper/upper.h>

#define BATCH 32
#define SLOT  65536

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

static uint8_t in[BATCH][SLOT], out[BATCH][SLOT];

/* Pieces of the same size keep it, as the ASCII does that is sent here. */
static size_t upper(const uint8_t *from, size_t len, uint8_t *to)
{
	const struct upper_rule rule = {UPPER_UTF8, UPPER_KEEP};
	struct upper_in i = {from, from + len};
	struct upper_out o = {to, to + SLOT};

	upper_convert(&rule, true, &i, &o);
	return (size_t)(o.at - to);
}

static void serve_naive(int fd)
{
	for (;;) {
		struct sockaddr_in peer;
		socklen_t peer_len = sizeof(peer);
		ssize_t n = recvfrom(fd, in[0], SLOT, 0, (struct sockaddr *)&peer, &peer_len);

		if (n >= 0)
			sendto(fd, out[0], upper(in[0], (size_t)n, out[0]), 0,
				(struct sockaddr *)&peer, peer_len);
	}
}

static void serve_batch(int fd)
{
	static struct mmsghdr messages[BATCH];
	static struct sockaddr_in peers[BATCH];
	static struct iovec spans[BATCH];

	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			spans[i] = (struct iovec){in[i], SLOT};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
				.msg_namelen = sizeof(peers[i]),
				.msg_iov = &spans[i],
				.msg_iovlen = 1};
		}
		int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++)
			spans[i] =
				(struct iovec){out[i], upper(in[i], messages[i].msg_len, out[i])};
		for (int done = 0, sent; done<n; done += sent> 0 ? sent : 1)
			sent = sendmmsg(fd, messages + done, (unsigned)(n - done), 0);
	}
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* What UDP_GRO says becomes what UDP_SEGMENT asks; the rest goes back as it came. */
static size_t turn_control(struct msghdr *message)
{
	size_t used = 0;
	uint16_t size;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_addr.s_addr = 0;
			used += CMSG_SPACE(sizeof(struct in_pktinfo));
		} else {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			c->cmsg_type = UDP_SEGMENT;
			c->cmsg_len = CMSG_LEN(sizeof(size));
			memcpy(CMSG_DATA(c), &size, sizeof(size));
			used += CMSG_SPACE(sizeof(size));
		}
	}

	return used;
}

static void serve_segment(int fd, int addressed)
{
	static struct mmsghdr messages[BATCH];
	static struct sockaddr_in peers[BATCH];
	static union control controls[BATCH];
	static struct iovec spans[BATCH];
	struct epoll_event event = {.events = EPOLLIN};
	int epoll_fd = epoll_create1(0), one = 1;

	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &addressed, sizeof(addressed));
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			spans[i] = (struct iovec){in[i], SLOT};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &peers[i],
				.msg_namelen = sizeof(peers[i]),
				.msg_iov = &spans[i],
				.msg_iovlen = 1,
				.msg_control = &controls[i],
				.msg_controllen = sizeof(controls[i])};
		}
		if (addressed)
			epoll_wait(epoll_fd, &event, 1, -1);
		int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			struct msghdr *message = &messages[i].msg_hdr;

			spans[i] =
				(struct iovec){out[i], upper(in[i], messages[i].msg_len, out[i])};
			message->msg_controllen = turn_control(message);
		}
		for (int done = 0, sent; done<n; done += sent> 0 ? sent : 1)
			sent = sendmmsg(fd, messages + done, (unsigned)(n - done), 0);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), buffer = 1 << 20;

	if (argc != 3)
		return EXIT_FAILURE;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0) {
		perror("bind");
		return EXIT_FAILURE;
	}
	if (strcmp(argv[1], "naive") == 0)
		serve_naive(fd);
	else if (strcmp(argv[1], "batch") == 0)
		serve_batch(fd);
	else
		serve_segment(fd, strcmp(argv[1], "address") == 0);
}
