/* SPDX-License-Identifier: Apache-2.0 */

/* A visit hears the head of its request, answers, and then waits until the peer has closed as well: to
 * close with bytes of the peer unread would reset the connection, and the answer might be lost.
 *
 * Holds no more than a head and an answer for each of HTTPD_VISITS. */

#include "child/httpd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "core/http.h"

#define ACCEPTS_A_ROUND 16
#define AGAIN_MS        100

enum visit_state { VISIT_HEARS, VISIT_ANSWERS, VISIT_LINGERS };

struct visit {
	struct source source;
	struct deadline deadline;
	struct task reap;
	struct list node;
	struct httpd *httpd;
	enum visit_state state;
	int fd; /* owned */
	size_t len, sent;
	char *answer; /* owned */
	size_t answer_len;
	char head[HTTP_LONGEST];
};

static void visit_reap(struct task *task)
{
	struct visit *visit = container_of(task, struct visit, reap);

	free(visit->answer);
	free(visit);
}

static void visit_end(struct visit *visit)
{
	struct httpd *httpd = visit->httpd;

	loop_unwatch(httpd->loop, &visit->source);
	close(take_fd(&visit->fd));
	deadline_clear(&visit->deadline);
	list_remove(&visit->node);
	visit->reap.run = visit_reap;
	loop_defer(httpd->loop, &visit->reap);
	if (--httpd->n_visits == 0 && httpd->fd < 0)
		httpd->on_idle(httpd);
}

/* What a peer did not come for, as a line of text. */
static int render_refusal(
	const struct httpd *httpd, unsigned status, char **ret_text, size_t *ret_len)
{
	int len = asprintf(ret_text, "%u %s. What there is, is at %s.\n", status,
		http_phrase(status), httpd->path);

	if (len < 0)
		return -ENOMEM;
	*ret_len = (size_t)len;
	return 0;
}

static void print_head(FILE *out, const char *type, unsigned status, size_t len)
{
	time_t now = time(NULL);
	char date[64] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	fprintf(out,
		"HTTP/1.1 %u %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n%s"
		"Connection: close\r\n\r\n",
		status, http_phrase(status), date, type, len,
		status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

/* The whole answer, in memory. */
static int visit_compose(struct visit *visit, struct http_verdict verdict)
{
	const struct httpd *httpd = visit->httpd;
	_cleanup_free_ char *body = NULL;
	size_t len = 0;
	FILE *out;
	int r = 0;

	if (verdict.status == 200 && httpd->render(httpd->userdata, &body, &len) < 0)
		verdict.status = 503;
	if (verdict.status != 200)
		r = render_refusal(httpd, verdict.status, &body, &len);
	if (r < 0)
		return r;
	out = open_memstream(&visit->answer, &visit->answer_len);
	if (!out)
		return -ENOMEM;
	print_head(out, verdict.status == 200 ? httpd->type : "text/plain; charset=utf-8",
		verdict.status, len);
	if (!verdict.is_head)
		fwrite(body, 1, len, out);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static void visit_answer(struct visit *visit)
{
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
	if (shutdown(visit->fd, SHUT_WR) < 0 ||
		loop_change(visit->httpd->loop, &visit->source, EPOLLIN) < 0)
		visit_end(visit);
}

static void visit_hear(struct visit *visit)
{
	struct http_verdict verdict;
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
	if (http_parse(visit->head, visit->len, visit->httpd->path, &verdict) == HTTP_E_MORE)
		return;
	visit->state = VISIT_ANSWERS;
	if (visit_compose(visit, verdict) < 0 ||
		loop_change(visit->httpd->loop, &visit->source, EPOLLOUT) < 0)
		visit_end(visit);
	else
		visit_answer(visit);
}

static void visit_linger(struct visit *visit)
{
	ssize_t n;

	n = recv(visit->fd, visit->head, sizeof(visit->head), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		visit_end(visit);
}

static void visit_on_event(struct source *source, uint32_t events)
{
	struct visit *visit = container_of(source, struct visit, source);

	switch (visit->state) {
	case VISIT_HEARS:
		visit_hear(visit);
		break;
	case VISIT_ANSWERS:
		visit_answer(visit);
		break;
	case VISIT_LINGERS:
		visit_linger(visit);
		break;
	}
}

static void httpd_on_deadline(struct deadline *deadline)
{
	visit_end(container_of(deadline, struct visit, deadline));
}

static struct visit *oldest(const struct httpd *httpd)
{
	return container_of(httpd->visits.next, struct visit, node);
}

static int visit_new(struct httpd *httpd, int *fd)
{
	struct visit *visit;
	int r;

	if (httpd->n_visits == HTTPD_VISITS)
		visit_end(oldest(httpd));
	visit = malloc(sizeof(*visit));
	if (!visit)
		return -ENOMEM;
	memset(visit, 0, offsetof(struct visit, head));
	visit->httpd = httpd;
	visit->source.on_event = visit_on_event;
	r = loop_watch(httpd->loop, &visit->source, *fd, EPOLLIN);
	if (r < 0) {
		free(visit);
		return r;
	}
	visit->fd = take_fd(fd);
	list_append(&httpd->visits, &visit->node);
	httpd->n_visits++;
	deadline_set(&httpd->deadlines, &visit->deadline);
	return 0;
}

static void httpd_on_again(struct timer *timer, uint64_t now_ms)
{
	struct httpd *httpd = container_of(timer, struct httpd, again);

	if (loop_watch(httpd->loop, &httpd->source, httpd->fd, EPOLLIN) < 0)
		loop_set_timer(httpd->loop, timer, now_ms + AGAIN_MS);
}

/* Who waits can wait a little longer; without a descriptor to let them in, this must not spin. */
static void httpd_rest(struct httpd *httpd, int error)
{
	log_event(EVENT_ACCEPT_PAUSED, ABOUT(.listener = "metrics", .error = error),
		"nobody is let in for a moment");
	loop_unwatch(httpd->loop, &httpd->source);
	loop_set_timer(httpd->loop, &httpd->again, httpd->loop->now_ms + AGAIN_MS);
}

static void httpd_on_event(struct source *source, uint32_t events)
{
	struct httpd *httpd = container_of(source, struct httpd, source);

	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		_cleanup_close_ int fd =
			accept4(httpd->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int r = fd < 0 ? -errno : visit_new(httpd, &fd);

		if (r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM) {
			httpd_rest(httpd, r);
			return;
		}
		if (r < 0) /* nobody is there any more */
			return;
	}
}

int httpd_start(struct httpd *httpd, struct loop *loop, int *fd)
{
	httpd->loop = loop;
	httpd->fd = take_fd(fd);
	httpd->source.on_event = httpd_on_event;
	httpd->again.on_time = httpd_on_again;
	list_init(&httpd->visits);
	deadlines_init(&httpd->deadlines, loop, HTTPD_MS, httpd_on_deadline);
	deadlines_init(&httpd->last, loop, HTTPD_LAST_MS, httpd_on_deadline);
	return loop_watch(loop, &httpd->source, httpd->fd, EPOLLIN);
}

void httpd_stop(struct httpd *httpd)
{
	httpd_on_event(&httpd->source, 0);
	loop_clear_timer(&httpd->again);
	loop_unwatch(httpd->loop, &httpd->source);
	close(take_fd(&httpd->fd));
	list_foreach (node, &httpd->visits) {
		struct visit *visit = container_of(node, struct visit, node);

		if (visit->state != VISIT_ANSWERS)
			deadline_set(&httpd->last, &visit->deadline);
	}
}

void httpd_cut(struct httpd *httpd)
{
	while (httpd->n_visits > 0)
		visit_end(oldest(httpd));
}

void httpd_done(struct httpd *httpd)
{
	if (!httpd->loop)
		return;
	list_foreach (node, &httpd->visits) {
		struct visit *visit = container_of(node, struct visit, node);

		close(visit->fd);
		loop_cancel(&visit->reap);
		visit_reap(&visit->reap);
	}
	deadlines_done(&httpd->deadlines);
	deadlines_done(&httpd->last);
	loop_clear_timer(&httpd->again);
	if (httpd->fd >= 0)
		close(httpd->fd);
}
