/* SPDX-License-Identifier: Apache-2.0 */

#include "process/ctl.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool send_packet(int fd, char kind, const char *text, size_t len)
{
	char packet[CONTROL_PACKET];

	packet[0] = kind;
	memcpy(packet + 1, text, len);
	return send(fd, packet, len + 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool control_send_text(int fd, const char *text, size_t len)
{
	while (len > 0) {
		size_t part = len < CONTROL_PACKET - 1 ? len : CONTROL_PACKET - 1;

		if (!send_packet(fd, CONTROL_TEXT, text, part))
			return false;
		text += part;
		len -= part;
	}
	return true;
}

bool control_send_end(int fd, int exit_code)
{
	char code[16];

	snprintf(code, sizeof(code), "%d", exit_code);
	return send_packet(fd, CONTROL_END, code, strlen(code));
}
