/* SPDX-License-Identifier: Apache-2.0 */

/* The process that answers scrapes. It runs as `user`, with its channel, the listening socket
 * and the page, of which it can change nothing; an answer is a head and a text that stands
 * there.
 *
 * A connection is one request and one answer. It reads the head of its request, writes the
 * answer, and then waits until the peer has closed as well: to close with bytes of the peer
 * unread would reset the connection, and the answer might be lost. A slow peer is ended by a
 * deadline, and earlier when another needs its place, so that no more than VISITS heads and
 * answers are ever in memory.
 *
 * A browser is a peer like any other, and may be sent here by any site. So a request has to name
 * a host that is known, or one that no other site can have made its own, and a page of another
 * origin gets nothing: see http.c. /livez and /readyz ask how old the page is: a supervisor that
 * hangs writes none, and this process would serve the last one for ever. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/log.h"
#include "child/http.h"
#include "child/roles.h"
#include "child/runtime.h"
#include "child/status_page.h"
#include "process/channel.h"
#include "process/metrics_page.h"

#define VISITS          64    /* open at once; one more, and the oldest is ended */
#define VISIT_MS        10000 /* from accept to the last byte */
#define LAST_MS         1000  /* for a request, once nothing is accepted any more */
#define ACCEPTS_A_ROUND 16
#define STALE_MS        10000 /* a supervisor that has not written for so long is stuck */

struct exporter {
	struct runtime runtime;
	const struct page_layout *page;
	int fd; /* owned; listening */
	struct source source;
	struct pause pause; /* in accepting */
	struct list visits; /* the oldest first */
	unsigned n_visits;
	struct deadlines deadlines, last;
	struct timer drained;
};

enum visit_state { VISIT_READS, VISIT_WRITES, VISIT_LINGERS };

struct visit {
	struct source source;
	struct deadline deadline;
	struct task reap;
	struct list node;
	struct exporter *exporter;
	enum visit_state state;
	int fd; /* owned */
	size_t len, sent;
	char *answer; /* owned */
	size_t answer_len;
	char head[HTTP_LONGEST];
};

enum form_source { FROM_PAGE, FROM_PROGRAM, FROM_AGE, FROM_STATE };

/* A form of what is at a path: in which a peer gets it depends on its Accept. The first is for peers that ask
 * for none, such as curl. */
struct form {
	const char *path;
	const char *range;   /* of types, as Accept names it */
	const char *version; /* the same; NULL: of no matter */
	const char *type;    /* in full */
	enum form_source source;
	enum page_text text; /* of the page */
};

static const struct form forms[] = {
	{"/metrics", "text/plain", "0.0.4", "text/plain; version=0.0.4; charset=utf-8", FROM_PAGE,
		PAGE_TEXT},
	{"/metrics", "application/openmetrics-text", "1.0.0",
		"application/openmetrics-text; version=1.0.0; charset=utf-8", FROM_PAGE,
		PAGE_OPENMETRICS},
	{"/metrics", "application/vnd.google.protobuf", NULL,
		"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "
		"encoding=delimited",
		FROM_PAGE, PAGE_PROTOBUF},
	{"/status.json", "application/json", NULL, "application/json", FROM_PAGE, PAGE_STATUS},
	{"/", "text/html", NULL, "text/html; charset=utf-8", FROM_PROGRAM},
	{"/livez", "text/plain", NULL, "text/plain; charset=utf-8", FROM_AGE},
	{"/readyz", "text/plain", NULL, "text/plain; charset=utf-8", FROM_STATE},
};

#define N_FORMS (sizeof(forms) / sizeof(forms[0]))

/* The one that the peer wants most; among equals, or when it wants none of them, the first. */
static const struct form *form_find(const struct http_request *request)
{
	const struct form *best = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < N_FORMS; i++) {
		unsigned quality = http_quality(request->accept, forms[i].range, forms[i].version);

		if (!http_span_is(request->path, forms[i].path))
			continue;
		if (!best || quality > most) {
			best = &forms[i];
			most = quality;
		}
	}
	return best;
}

static void visit_reap(struct task *task)
{
	struct visit *visit = container_of(task, struct visit, reap);

	free(visit->answer);
	free(visit);
}

static void visit_end(struct visit *visit)
{
	struct exporter *e = visit->exporter;

	loop_unwatch(&e->runtime.loop, &visit->source);
	close(take_fd(&visit->fd));
	deadline_clear(&visit->deadline);
	list_remove(&visit->node);
	visit->reap.run = visit_reap;
	loop_defer(&e->runtime.loop, &visit->reap);
	if (--e->n_visits == 0 && e->runtime.dialogue.state == CHILD_DRAINING)
		loop_stop(&e->runtime.loop, EX_OK);
}

/* A unix socket is out of the reach of any page. */
static bool host_is_ours(const struct exporter *e, const struct http_request *request)
{
	const struct conf *conf = e->runtime.conf;
	struct http_span name = request->host;

	if (conf->metrics.path || http_host_is_local(request->host))
		return true;
	name = http_host_name(name);
	for (size_t i = 0; i < conf->metrics.n_hosts; i++)
		if (strlen(conf->metrics.hosts[i]) == name.len &&
			strncasecmp(conf->metrics.hosts[i], name.at, name.len) == 0)
			return true;
	return false;
}

/* The status of an answer that is not refused for its own sake. */
static unsigned judge_request(
	const struct exporter *e, const struct http_request *request, const struct form *form)
{
	uint64_t age_ms;
	bool is_ready = metrics_page_is_ready(e->page, &age_ms);

	if (request->status != 200)
		return request->status;
	if (!host_is_ours(e, request))
		return 421;
	if (!http_origin_is_same(request))
		return 403;
	if (!form)
		return 404;
	if (form->source == FROM_AGE || form->source == FROM_STATE)
		return age_ms < STALE_MS && (is_ready || form->source == FROM_AGE) ? 200 : 503;
	return 200;
}

static int refusal_text(unsigned status, char **ret_text, size_t *ret_len)
{
	int n = asprintf(ret_text,
		"%u %s. There are /metrics, /status.json, /livez, /readyz and /.\n", status,
		http_phrase(status));

	if (n < 0)
		return -ENOMEM;
	*ret_len = (size_t)n;
	return 0;
}

/* A copy of what is to be sent; without a text in the page, the supervisor has not begun. */
static int form_text(
	const struct exporter *e, const struct form *form, char **ret_text, size_t *ret_len)
{
	switch (form->source) {
	case FROM_PAGE:
		return metrics_page_read(e->page, form->text, ret_text, ret_len);
	case FROM_PROGRAM:
		*ret_text = strndup(status_page, status_page_len);
		*ret_len = status_page_len;
		break;
	case FROM_AGE:
	case FROM_STATE:
		*ret_text = strdup("ok\n");
		*ret_len = strlen("ok\n");
		break;
	}
	return *ret_text ? 0 : -ENOMEM;
}

/* No other site may show, load or read any of it, and no cache may keep it. */
static void print_head(FILE *out, const char *type, unsigned status, size_t len)
{
	time_t now = time(NULL);
	char date[64] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	fprintf(out,
		"HTTP/1.1 %u %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s"
		"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
		"Cross-Origin-Resource-Policy: same-origin\r\nReferrer-Policy: no-referrer\r\n"
		"Content-Security-Policy: %s\r\nConnection: close\r\n\r\n",
		status, http_phrase(status), date, type, len,
		status == 405 ? "Allow: GET, HEAD\r\n" : "", status_page_policy);
}

/* The whole answer, in memory. */
static int visit_compose(struct visit *visit, const struct http_request *request)
{
	const struct form *form = request->status == 200 ? form_find(request) : NULL;
	unsigned status = judge_request(visit->exporter, request, form);
	_cleanup_free_ char *body = NULL;
	size_t len = 0;
	FILE *out;

	if (status == 200 && form_text(visit->exporter, form, &body, &len) < 0)
		status = 503;
	if (status != 200 && refusal_text(status, &body, &len) < 0)
		return -ENOMEM;
	out = open_memstream(&visit->answer, &visit->answer_len);
	if (!out)
		return -ENOMEM;
	print_head(out, status == 200 ? form->type : "text/plain; charset=utf-8", status, len);
	if (!request->is_head)
		fwrite(body, 1, len, out);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static void visit_write(struct visit *visit)
{
	struct loop *loop = &visit->exporter->runtime.loop;
	ssize_t n;

	while (visit->sent < visit->answer_len) {
		n = send(visit->fd, visit->answer + visit->sent, visit->answer_len - visit->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			visit_end(visit);
			return;
		}
		visit->sent += (size_t)n;
	}
	visit->state = VISIT_LINGERS;
	if (shutdown(visit->fd, SHUT_WR) < 0 || loop_change(loop, &visit->source, EPOLLIN) < 0)
		visit_end(visit);
}

static void visit_read(struct visit *visit)
{
	struct loop *loop = &visit->exporter->runtime.loop;
	struct http_request request;
	ssize_t n;

	n = recv(visit->fd, visit->head + visit->len, sizeof(visit->head) - visit->len,
		MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		visit_end(visit);
		return;
	}
	visit->len += (size_t)n;
	if (http_parse(visit->head, visit->len, &request) == HTTP_E_MORE)
		return;
	visit->state = VISIT_WRITES;
	if (visit_compose(visit, &request) < 0 || loop_change(loop, &visit->source, EPOLLOUT) < 0)
		visit_end(visit);
	else
		visit_write(visit);
}

static void visit_linger(struct visit *visit)
{
	ssize_t n = recv(visit->fd, visit->head, sizeof(visit->head), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		visit_end(visit);
}

static void visit_on_event(struct source *source, uint32_t events)
{
	struct visit *visit = container_of(source, struct visit, source);

	switch (visit->state) {
	case VISIT_READS:
		visit_read(visit);
		break;
	case VISIT_WRITES:
		visit_write(visit);
		break;
	case VISIT_LINGERS:
		visit_linger(visit);
		break;
	}
}

static void visit_on_deadline(struct deadline *deadline)
{
	visit_end(container_of(deadline, struct visit, deadline));
}

static struct visit *oldest_visit(const struct exporter *e)
{
	return container_of(e->visits.next, struct visit, node);
}

static int visit_new(struct exporter *e, int *fd)
{
	struct visit *visit;
	int r;

	if (e->n_visits == VISITS)
		visit_end(oldest_visit(e));
	visit = malloc(sizeof(*visit));
	if (!visit)
		return -ENOMEM;
	memset(visit, 0, offsetof(struct visit, head));
	visit->exporter = e;
	visit->source.on_event = visit_on_event;
	r = loop_watch(&e->runtime.loop, &visit->source, *fd, EPOLLIN);
	if (r < 0) {
		free(visit);
		return r;
	}
	visit->fd = take_fd(fd);
	list_append(&e->visits, &visit->node);
	e->n_visits++;
	deadline_set(&e->deadlines, &visit->deadline);
	return 0;
}

/* Without a descriptor or memory, an event that stays pending must not make the loop spin. */
static void exporter_pause(struct exporter *e, int error)
{
	log_event(EVENT_ACCEPT_PAUSED, ABOUT(.listener = "metrics", .error = error),
		"accepting is paused for a moment");
	loop_pause(&e->runtime.loop, &e->pause, &e->source, EPOLLIN);
}

static void exporter_on_connection(struct source *source, uint32_t events)
{
	struct exporter *e = container_of(source, struct exporter, source);

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		_cleanup_close_ int fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int r = fd < 0 ? -errno : visit_new(e, &fd);

		if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
			exporter_pause(e, r);
			return;
		}
		if (r < 0) /* the queue is empty, or the peer is gone */
			return;
	}
}

static void exporter_on_drained(struct timer *timer, uint64_t now_ms)
{
	loop_stop(&container_of(timer, struct exporter, drained)->runtime.loop, EX_OK);
}

static struct exporter *exporter_of(struct runtime *runtime)
{
	return container_of(runtime, struct exporter, runtime);
}

static int exporter_on_metrics(struct runtime *runtime, struct message *message)
{
	struct exporter *e = exporter_of(runtime);

	if (e->page)
		return -EINVAL;
	e->fd = take_fd(&message->fds[0]);
	return metrics_page_attach(message->fds[1], &e->page);
}

static int exporter_on_prepare(struct runtime *runtime, struct message *message)
{
	struct exporter *e = exporter_of(runtime);

	if (!runtime->conf || !e->page)
		return runtime_fail(EX_SOFTWARE, "told to prepare without a page", 0);
	tzset(); /* while /etc can still be read */
	return runtime_ready(runtime);
}

static int exporter_on_serve(struct runtime *runtime, struct message *message)
{
	struct exporter *e = exporter_of(runtime);
	int r;

	r = loop_watch(&runtime->loop, &e->source, e->fd, EPOLLIN);
	if (r < 0)
		return r;
	return runtime_serving(runtime);
}

/* Connections that are in the queue are accepted still; a peer that has not asked by now must be quick. */
static int exporter_on_drain(struct runtime *runtime, struct message *message)
{
	const struct msg_drain *drain = (const void *)message->data;
	struct exporter *e = exporter_of(runtime);
	bool serves = runtime->dialogue.state == CHILD_SERVING;

	runtime->dialogue.state = CHILD_DRAINING;
	if (serves && e->fd >= 0) {
		exporter_on_connection(&e->source, 0);
		pause_clear(&e->pause);
		loop_unwatch(&runtime->loop, &e->source);
		close(take_fd(&e->fd));
		channel_send(CHANNEL_FD, MSG_RELEASED, NULL, 0, NULL, 0);
	}
	list_foreach (node, &e->visits) {
		struct visit *visit = container_of(node, struct visit, node);

		if (visit->state != VISIT_WRITES)
			deadline_set(&e->last, &visit->deadline);
	}
	loop_set_timer(&runtime->loop, &e->drained, runtime->loop.now_ms + drain->within_ms);
	if (e->n_visits == 0)
		loop_stop(&runtime->loop, EX_OK);
	return 0;
}

const struct runtime_handler exporter_handlers[N_MESSAGES] = {
	[MSG_SETUP] = {runtime_setup, "cannot read its configuration"},
	[MSG_LOG_LEVEL] = {runtime_set_log_level, "cannot set the level of its records"},
	[MSG_METRICS] = {exporter_on_metrics, "cannot take the page"},
	[MSG_PREPARE] = {exporter_on_prepare},
	[MSG_SERVE] = {exporter_on_serve, "cannot watch its socket"},
	[MSG_DRAIN] = {exporter_on_drain},
};

static void exporter_done(struct exporter *e)
{
	list_foreach (node, &e->visits) {
		struct visit *visit = container_of(node, struct visit, node);

		close(visit->fd);
		loop_cancel(&visit->reap);
		visit_reap(&visit->reap);
	}
	deadlines_done(&e->deadlines);
	deadlines_done(&e->last);
	loop_clear_timer(&e->drained);
	close_fdp(&e->fd);
	runtime_done(&e->runtime);
}

int exporter_main(void)
{
	struct exporter e = {
		.runtime = RUNTIME_INIT(e.runtime, exporter_handlers, ROLE_EXPORTER),
		.fd = -1,
		.source.on_event = exporter_on_connection,
		.drained.on_time = exporter_on_drained,
	};
	int exit_code;

	list_init(&e.visits);
	deadlines_init(&e.deadlines, &e.runtime.loop, VISIT_MS, visit_on_deadline);
	deadlines_init(&e.last, &e.runtime.loop, LAST_MS, visit_on_deadline);
	exit_code = runtime_run(&e.runtime);
	exporter_done(&e);
	return exit_code;
}
