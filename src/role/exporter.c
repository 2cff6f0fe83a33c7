/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as `user`, with its channel, the socket that scrapes come to, and the board, of which it can
 * change nothing. It answers with what stands there, and has nothing else to tell. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "net/httpd.h"
#include "role/board.h"
#include "role/channel.h"
#include "role/child_side.h"
#include "role/confine.h"
#include "role/role.h"

struct exporter {
	struct child_side side;
	struct httpd httpd;
	const struct board_page *board;
	struct timer drained;
	int fd; /* owned, until it serves */
	bool ready;
};

static int exporter_render(void *userdata, char **ret_text, size_t *ret_len)
{
	const struct exporter *e = userdata;
	_cleanup_totals_ struct totals totals = TOTALS_EMPTY;
	struct figures figures;
	FILE *out;
	int r;

	r = board_read(e->board, &figures, &totals);
	if (r < 0)
		return r;
	out = open_memstream(ret_text, ret_len);
	if (!out)
		return -ENOMEM;
	metrics_print(&figures, &totals, out);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static void exporter_on_idle(struct httpd *httpd)
{
	struct exporter *e = container_of(httpd, struct exporter, httpd);

	loop_stop(&e->side.loop, EX_OK);
}

static void exporter_on_drained(struct timer *timer, uint64_t now_ms)
{
	httpd_cut(&container_of(timer, struct exporter, drained)->httpd);
}

static int exporter_on_metrics(struct exporter *e, struct message *message)
{
	if (e->board)
		return -EINVAL;
	e->fd = take_fd(&message->fds[0]);
	return board_attach(message->fds[1], &e->board);
}

static int exporter_prepare(struct exporter *e)
{
	char why[CONFINE_WHY];
	int r;

	if (!e->side.conf || !e->board)
		return child_side_fail(EX_SOFTWARE, "told to prepare without a board", 0);
	tzset(); /* while /etc can still be read */
	r = confine(role_word(ROLE_EXPORTER), e->side.conf, why);
	if (r != 0)
		return child_side_fail(r, why, 0);
	e->ready = true;
	return channel_send(CHANNEL_FD, MSG_READY, NULL, 0, NULL, 0) == 0 ? 0 : EX_OSERR;
}

static int exporter_serve(struct exporter *e)
{
	int r;

	if (!e->ready || e->fd < 0)
		return child_side_fail(EX_SOFTWARE, "told to serve before it was ready", 0);
	r = httpd_start(&e->httpd, &e->side.loop, &e->fd);
	return r < 0 ? child_side_fail(EX_OSERR, "cannot watch its socket", r) : 0;
}

/* Who was never told to serve has nothing to finish. */
static void exporter_drain(struct exporter *e, const struct msg_drain *drain)
{
	if (e->httpd.fd >= 0) {
		httpd_stop(&e->httpd);
		channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
		loop_set_timer(&e->side.loop, &e->drained, e->side.loop.now_ms + drain->within_ms);
	}
	if (e->httpd.n_visits == 0)
		loop_stop(&e->side.loop, EX_OK);
}

/* Returns 0, or the exit code with which all is over. */
static int exporter_on_message(struct child_side *side, struct message *message)
{
	struct exporter *e = container_of(side, struct exporter, side);
	int r;

	switch ((int)message->type) {
	case MSG_SETUP:
		r = child_side_setup(side, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot read its configuration", r) : 0;
	case MSG_METRICS:
		r = exporter_on_metrics(e, message);
		return r < 0 ? child_side_fail(EX_SOFTWARE, "cannot take the board", r) : 0;
	case MSG_PREPARE:
		return exporter_prepare(e);
	case MSG_SERVE:
		return exporter_serve(e);
	case MSG_DRAIN:
		exporter_drain(e, (const void *)message->data);
		return 0;
	default: /* for another role */
		return EX_SOFTWARE;
	}
}

int exporter_main(void)
{
	struct exporter e = {
		.side = CHILD_SIDE_INIT(e.side, exporter_on_message),
		.httpd = HTTPD_EMPTY,
		.fd = -1,
	};
	int exit_code;

	e.httpd.path = "/metrics";
	e.httpd.type = METRICS_TYPE;
	e.httpd.render = exporter_render;
	e.httpd.on_idle = exporter_on_idle;
	e.httpd.userdata = &e;
	e.drained.on_time = exporter_on_drained;
	exit_code = child_side_run(&e.side);
	httpd_done(&e.httpd);
	close_fdp(&e.fd);
	child_side_done(&e.side);
	return exit_code;
}
