/* SPDX-License-Identifier: Apache-2.0 */

/* Runs as `user`, with its channel, the socket that scrapes come to, and the board, of which it can
 * change nothing. It answers with what stands there, and has nothing else to tell. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "base/cleanup.h"
#include "child/httpd.h"
#include "child/roles.h"
#include "child/runtime.h"
#include "process/channel.h"
#include "supervisor/board.h"

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

static struct exporter *exporter_of(struct child_side *side)
{
	return container_of(side, struct exporter, side);
}

static int exporter_on_metrics(struct child_side *side, struct message *message)
{
	struct exporter *e = exporter_of(side);

	if (e->board)
		return -EINVAL;
	e->fd = take_fd(&message->fds[0]);
	return board_attach(message->fds[1], &e->board);
}

static int exporter_on_prepare(struct child_side *side, struct message *message)
{
	struct exporter *e = exporter_of(side);

	if (!side->conf || !e->board)
		return child_side_fail(EX_SOFTWARE, "told to prepare without a board", 0);
	tzset(); /* while /etc can still be read */
	e->ready = true;
	return child_side_ready(side, ROLE_EXPORTER);
}

static int exporter_on_serve(struct child_side *side, struct message *message)
{
	struct exporter *e = exporter_of(side);
	int r;

	if (!e->ready || e->fd < 0)
		return child_side_fail(EX_SOFTWARE, "told to serve before it was ready", 0);
	r = httpd_start(&e->httpd, &side->loop, &e->fd);
	return r < 0 ? r : child_side_serving();
}

/* Who was never told to serve has nothing to finish. */
static int exporter_on_drain(struct child_side *side, struct message *message)
{
	const struct msg_drain *drain = (const void *)message->data;
	struct exporter *e = exporter_of(side);

	if (e->httpd.fd >= 0) {
		httpd_stop(&e->httpd);
		channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
		loop_set_timer(&side->loop, &e->drained, side->loop.now_ms + drain->within_ms);
	}
	if (e->httpd.n_visits == 0)
		loop_stop(&side->loop, EX_OK);
	return 0;
}

static const struct child_hears exporter_hears[N_MESSAGES] = {
	[MSG_SETUP] = {child_side_setup, "cannot read its configuration"},
	[MSG_METRICS] = {exporter_on_metrics, "cannot take the board"},
	[MSG_PREPARE] = {exporter_on_prepare},
	[MSG_SERVE] = {exporter_on_serve, "cannot watch its socket"},
	[MSG_DRAIN] = {exporter_on_drain},
};

int exporter_main(void)
{
	struct exporter e = {
		.side = CHILD_SIDE_INIT(e.side, exporter_hears),
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
