/* SPDX-License-Identifier: Apache-2.0 */

/* The control socket: one question of a client, one answer, and the connection is over.
 *
 * Access is checked twice: by the mode of the socket's file, and by the user that the kernel
 * says is there. The verb's row says whether it changes anything; a member of the control group
 * may only look. Verbs are the owner's; this file knows none of them.
 *
 * A client is given an answer and no time. The supervisor never waits for one: what its socket
 * does not take at once is not sent, and a client too many is hung up on. A verb answers at
 * once, or later:
 *
 * * CONTROL_LATER with a build: the client waits for the build of that number, and gets its
 *   outcome and no other, see generations.c.
 * * CONTROL_LATER without one: it waits for the next control_answer() to its verb.
 * * CONTROL_TAKEN: a child has a copy of the descriptor and answers.
 *
 * Clients that wait survive an upgrade: their descriptors and verbs are handed over, and the new
 * program answers. A client that is closed stays in memory until the end of the round, like all
 * that has a source. */

#include "supervisor/control.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "process/ctl.h"
#include "sockets/listen.h"

#define CLIENTS_MAX 16
#define ANSWER_MAX  (1 << 20)

struct control_client {
	struct source source;
	struct control *control;
	struct list node;
	struct task reap;
	int fd;
	bool json;
	bool may_change; /* root, or the daemon's own user */
	uint64_t build;  /* the number of the build that it waits for; 0: it waits for none */
	char verb[CONTROL_QUESTION]; /* it waits for this one; empty before it has asked */
};

static void client_reap(struct task *task)
{
	free(container_of(task, struct control_client, reap));
}

static void client_close(struct control_client *client)
{
	if (client->fd < 0)
		return;
	loop_unwatch(client->control->loop, &client->source);
	close(take_fd(&client->fd));
	list_remove(&client->node);
	client->control->n_clients--;
	client->reap.run = client_reap;
	loop_defer(client->control->loop, &client->reap);
}

static void client_answer(
	struct control_client *client, int exit_code, const char *text, size_t len)
{
	if (control_send_text(client->fd, text, len))
		control_send_end(client->fd, exit_code);
	client_close(client);
}

static const struct control_verb *control_find(const struct control *control, const char *name)
{
	for (const struct control_verb *verb = control->verbs; verb->name; verb++)
		if (strcmp(verb->name, name) == 0)
			return verb;
	return NULL;
}

int control_deny(const struct control_question *question)
{
	fprintf(question->out,
		"%s%s%s is for root or the daemon's own user; the control group may only look\n",
		question->verb, question->argument[0] ? " " : "", question->argument);
	return EX_NOPERM;
}

static void client_on_question(struct control_client *client, char *text, int *passed)
{
	struct control_question question = {
		.verb = text,
		.argument = "",
		.fd = client->fd,
		.passed = passed,
		.build = &client->build,
		.may_change = client->may_change,
	};
	_cleanup_free_ char *answer = NULL;
	const struct control_verb *verb;
	size_t len = 0;
	int exit_code;
	char *blank;

	if (strncmp(text, CONTROL_JSON, strlen(CONTROL_JSON)) == 0) {
		client->json = question.json = true;
		question.verb = text + strlen(CONTROL_JSON);
	}
	blank = strchr(text + (question.verb - text), ' ');
	if (blank) {
		*blank = '\0';
		question.argument = blank + 1;
	}
	snprintf(client->verb, sizeof(client->verb), "%s", question.verb);

	question.out = open_memstream(&answer, &len);
	if (!question.out) {
		client_close(client);
		return;
	}
	verb = control_find(client->control, question.verb);
	if (verb && verb->changes && !client->may_change) {
		exit_code = control_deny(&question);
	} else if (verb) {
		exit_code = verb->run(client->control->userdata, &question);
	} else {
		fprintf(question.out, "upperd does not know \"%s\"\n", question.verb);
		exit_code = 64;
	}
	/* The verb may have stopped the daemon, and with that answered and closed this client. */
	fclose(question.out);
	if (exit_code >= 0 && client->fd >= 0)
		client_answer(client, exit_code, answer, len);
	else if (exit_code == CONTROL_TAKEN)
		client_close(client);
}

/* A question, and at most one descriptor; the kernel closes those for which there is no room. */
static ssize_t client_receive(
	const struct control_client *client, char text[static CONTROL_QUESTION], int *passed)
{
	struct iovec part = {text, CONTROL_QUESTION - 1};
	union {
		struct cmsghdr header; /* aligns */
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(passed, CMSG_DATA(c), sizeof(*passed));
	return n;
}

static void control_client_on_event(struct source *source, uint32_t events)
{
	struct control_client *client = container_of(source, struct control_client, source);
	_cleanup_close_ int passed = -1;
	char text[CONTROL_QUESTION];
	ssize_t n;

	n = client_receive(client, text, &passed);
	if (n < 0 && errno == EAGAIN)
		return;
	/* A second question on the same connection is not in the protocol; nor is a byte of zero,
 * which would hide the rest of the text. */
	if (n <= 0 || client->verb[0] != '\0' || memchr(text, '\0', (size_t)n)) {
		client_close(client);
		return;
	}
	text[n] = '\0';
	client_on_question(client, text, &passed);
}

/* Root, and the user that the daemon runs as. */
static bool may_change(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	return who.uid == 0 || who.uid == geteuid();
}

static int client_new(struct control *control, int fd)
{
	_cleanup_free_ struct control_client *client = NULL;
	int size = ANSWER_MAX, r;

	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	/* So that a whole answer fits, since what does not is lost. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	client->control = control;
	client->source.on_event = control_client_on_event;
	r = loop_watch(control->loop, &client->source, fd, EPOLLIN);
	if (r < 0)
		return r;
	client->fd = fd;
	client->may_change = may_change(fd);
	list_append(&control->clients, &client->node);
	control->n_clients++;
	take_ptr(&client);
	return 0;
}

static void control_on_event(struct source *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, source);
	_cleanup_close_ int fd = -1;

	fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR)
			loop_pause(control->loop, &control->pause, source, EPOLLIN);
		return;
	}
	/* With a group, the mode of the file has kept all others out; a user namespace hides who is in it. */
	if (control->group == (gid_t)-1 && !may_change(fd)) {
		log_event(EVENT_CONTROL_REFUSED, ABOUT_NOTHING,
			"a client that is neither root nor the daemon's own user");
		return;
	}
	if (control->n_clients < CLIENTS_MAX && client_new(control, fd) == 0)
		take_fd(&fd);
}

static int control_spec(const char *path, gid_t group, struct listen_spec *ret_spec)
{
	struct listen_spec spec = {
		.type = SOCK_SEQPACKET,
		.backlog = CLIENTS_MAX,
		.mode = group == (gid_t)-1 ? 0600 : 0660,
		.owner = (uid_t)-1,
		.group = group,
	};

	if (addr_parse_unix(path, &spec.address) != 0)
		return -ENAMETOOLONG;
	*ret_spec = spec;
	return 0;
}

static int control_bind(const char *path, gid_t group, int *ret_fd, struct socket_file *ret_file)
{
	struct listen_spec spec;
	int r;

	r = control_spec(path, group, &spec);
	return r < 0 ? r : listen_open(&spec, ret_fd, ret_file);
}

/* The path that it is bound to is the one to remove in the end, whatever a configuration says by then. */
static int control_own(struct control *control, int fd, const struct socket_file *file)
{
	struct addr address = {.len = sizeof(address) - offsetof(struct addr, sa)};

	control->fd = fd;
	control->file = *file;
	if (getsockname(fd, &address.sa, &address.len) < 0)
		return -errno;
	addr_format(&address, control->path);
	return 0;
}

static int control_listen(
	struct control *control, struct loop *loop, int fd, const struct socket_file *file)
{
	int r;

	control->loop = loop;
	control->source.on_event = control_on_event;
	list_init(&control->clients);
	r = control_own(control, fd, file);
	return r < 0 ? r : loop_watch(loop, &control->source, control->fd, EPOLLIN);
}

int control_open(struct control *control, struct loop *loop, const char *path, gid_t group)
{
	struct socket_file file;
	int fd, r;

	r = control_bind(path, group, &fd, &file);
	control->group = group;
	return r < 0 ? r : control_listen(control, loop, fd, &file);
}

static void control_close(struct control *control)
{
	struct listen_spec spec;

	pause_clear(&control->pause);
	loop_unwatch(control->loop, &control->source);
	close(take_fd(&control->fd));
	if (control_spec(control->path, control->group, &spec) == 0 && listen_has_file(&spec) &&
		socket_file_remove(&spec, &control->file) == SOCKET_FILE_E_OTHER)
		log_each(EVENT_SOCKET_REPLACED, ABOUT_NOTHING,
			"something else has taken the path of the control socket, %s; it is left "
			"alone",
			control->path);
}

/* The same file for another group. */
static int control_regroup(struct control *control, gid_t group)
{
	struct listen_spec spec;
	int r;

	if (group == control->group)
		return 0;
	r = control_spec(control->path, group, &spec);
	if (r == 0)
		r = socket_file_adjust(&spec, &control->file);
	if (r == 0)
		control->group = group;
	return r == SOCKET_FILE_E_OTHER ? -EEXIST : r;
}

int control_move(struct control *control, const char *path, gid_t group)
{
	struct socket_file file;
	int fd, r;

	if (strcmp(control->path, path) == 0)
		return control_regroup(control, group);
	r = control_bind(path, group, &fd, &file);
	if (r < 0)
		return r;
	control_close(control);
	control->group = group;
	r = control_own(control, fd, &file);
	control->source.fd = control->fd;
	if (loop_watch(control->loop, &control->source, control->fd, EPOLLIN) < 0)
		loop_pause(control->loop, &control->pause, &control->source, EPOLLIN);
	return r;
}

void control_describe(const struct control *control, struct handover *h)
{
	if (control->fd < 0)
		return;
	fprintf(h->state, "control %d %ju %ju %jd\n", handover_fd(h, control->fd),
		(uintmax_t)control->file.device, (uintmax_t)control->file.inode,
		control->group == (gid_t)-1 ? (intmax_t)-1 : (intmax_t)control->group);
	for (struct list *node = control->clients.next; node != &control->clients;
		node = node->next) {
		const struct control_client *client =
			container_of(node, struct control_client, node);

		fprintf(h->state, "client %d %d %s\n", handover_fd(h, client->fd), client->json,
			client->verb);
	}
}

int control_take(struct control *control, struct loop *loop, char *line)
{
	struct socket_file file = SOCKET_FILE_NONE;
	int fd = handover_own(&line);

	file.device = (dev_t)handover_number(&line);
	file.inode = (ino_t)handover_number(&line);
	control->group = (gid_t)handover_number(&line); /* -1 as well when the line has none */
	return fd < 0 ? -EINVAL : control_listen(control, loop, fd, &file);
}

/* The newest client is the last of the list. */
int control_take_client(struct control *control, char *line, uint64_t build)
{
	struct control_client *client;
	int r;

	r = client_new(control, handover_own(&line));
	if (r < 0)
		return r;
	client = container_of(control->clients.prev, struct control_client, node);
	client->build = build;
	client->json = handover_number(&line) == 1;
	snprintf(client->verb, sizeof(client->verb), "%s", handover_word(&line));
	return 0;
}

void control_done(struct control *control)
{
	if (control->fd < 0)
		return;
	list_foreach (node, &control->clients) {
		struct control_client *client = container_of(node, struct control_client, node);

		close(client->fd);
		loop_cancel(&client->reap);
		free(client);
	}
	control_close(control);
}

static void answer_print_json(const struct control_answer *answer, FILE *out)
{
	struct json json = JSON_TO(out);

	if (!answer->done) {
		faults_print_json(answer->faults ? answer->faults : &FAULTS_EMPTY, out);
		return;
	}
	json_object(&json, NULL);
	json_bool(&json, answer->done, true);
	json_end(&json);
}

static void client_answer_later(struct control_client *client, const struct control_answer *answer)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out && client->json)
		answer_print_json(answer, out);
	else if (out)
		fputs(answer->text, out);
	if (out)
		fclose(out);
	client_answer(client, answer->exit_code, text, len);
}

void control_answer(struct control *control, const char *verb, const struct control_answer *answer)
{
	if (control->fd < 0)
		return;
	list_foreach (node, &control->clients) {
		struct control_client *client = container_of(node, struct control_client, node);

		if (client->build == 0 && strcmp(client->verb, verb) == 0)
			client_answer_later(client, answer);
	}
}

void control_answer_build(
	struct control *control, uint64_t number, const struct control_answer *answer)
{
	if (control->fd < 0)
		return;
	list_foreach (node, &control->clients) {
		struct control_client *client = container_of(node, struct control_client, node);

		if (client->build > 0 && client->build <= number)
			client_answer_later(client, answer);
	}
}
