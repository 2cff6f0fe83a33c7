/* SPDX-License-Identifier: Apache-2.0 */

/* The process that holds the private keys. It runs as `user` and has only channels: one to the supervisor,
 * and one to each worker, for requests to sign. It has no network socket and opens no file: keys come as
 * sealed copies of their files, in the order in which they are counted, are read once, and are closed.
 *
 * Its life: SETUP, a FILE for each key, PREPARE; then it enters its sandbox, is READY, and serves requests
 * until it is told to drain, which happens when the last worker of its generation has ended. The supervisor
 * sends the channel of each worker (CLIENT), and says when a worker has ended (CLIENT_GONE).
 *
 * Workers are not trusted. A request is checked in tls/keys.c; one that no honest worker makes closes its
 * channel, and so does the end of the worker, in case a copy of the channel is elsewhere. This file must not
 * read a request itself, and has no time-out to keep: a worker that sends nothing costs nothing. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/why.h"
#include "child/roles.h"
#include "child/runtime.h"
#include "process/channel.h"
#include "process/files.h"
#include "tls/keys.h"

#define LONGEST_FILE    (1 << 20)
#define REQUESTS_A_TURN 16

struct keeper {
	struct runtime runtime;
	struct keys *keys;
	struct list clients;
	bool ready;
	struct why why; /* the first key that will not do; empty: all do */
};

struct key_client {
	struct source source;
	struct keeper *keeper;
	struct task task;
	struct list node;
	uint32_t worker;
	int fd; /* owned */
};

static void client_free_task(struct task *task)
{
	free(container_of(task, struct key_client, task));
}

static void client_end(struct key_client *client)
{
	loop_unwatch(&client->keeper->runtime.loop, &client->source);
	close(take_fd(&client->fd));
	list_remove(&client->node);
	client->task.run = client_free_task;
	loop_defer(&client->keeper->runtime.loop, &client->task);
}

/* A turn replies to all requests that are there, up to a number, so that other workers have their turn. */
static void key_client_on_event(struct source *source, uint32_t events)
{
	struct key_client *client = container_of(source, struct key_client, source);
	int r = 0;

	for (int i = 0; i < REQUESTS_A_TURN && r == 0; i++)
		r = keys_reply(client->keeper->keys, client->fd);
	if (r == 0 || r == KEYS_E_WAIT)
		return;
	if (r == KEYS_E_MALFORMED)
		log_event(EVENT_KEEPER_CUT, ABOUT_NOTHING,
			"malformed signing request from worker %u; its channel is closed",
			client->worker);
	client_end(client);
}

static struct keeper *keeper_of(struct runtime *runtime)
{
	return container_of(runtime, struct keeper, runtime);
}

/* A copy of the channel may be held elsewhere. */
static void keeper_forget(struct keeper *k, uint32_t worker)
{
	list_foreach (node, &k->clients) {
		struct key_client *client = container_of(node, struct key_client, node);

		if (client->worker == worker)
			client_end(client);
	}
}

static int keeper_on_client_gone(struct runtime *runtime, struct message *message)
{
	const struct msg_client *gone = (const void *)message->data;

	keeper_forget(keeper_of(runtime), gone->worker);
	return 0;
}

static int keeper_on_client(struct runtime *runtime, struct message *message)
{
	struct keeper *k = keeper_of(runtime);
	const struct msg_client *head = (const void *)message->data;
	struct key_client *client;
	int r;

	if (!k->ready)
		return -EINVAL;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	keeper_forget(k, head->worker);
	client->keeper = k;
	client->worker = head->worker;
	client->source.on_event = key_client_on_event;
	client->fd = take_fd(&message->fds[0]);
	list_append(&k->clients, &client->node);
	r = loop_watch(&k->runtime.loop, &client->source, client->fd, EPOLLIN);
	if (r < 0)
		client_end(client);
	return r;
}

static enum key_use use_of(const struct conf_listener *l)
{
	if (l->transport == CONF_DTLS)
		return KEY_USE_DTLS;
	return l->tls.min_version == CONF_TLS_1_3 ? KEY_USE_TLS_1_3 : KEY_USE_TLS;
}

/* Files come in the order in which keys are counted. */
static int keeper_on_file(struct runtime *runtime, struct message *message)
{
	struct keeper *k = keeper_of(runtime);
	const struct file_place *place = (const void *)message->data;
	const struct conf *conf = runtime->conf;
	struct tls_text pem = {0};
	struct tls_fault fault = {.why = {"no memory"}};
	char *text = NULL;
	int r = 0;

	if (!conf || k->ready || place->kind != FILE_KEY || place->listener >= conf->n_listeners ||
		place->index >= conf->listeners[place->listener].tls.n_certificates)
		return runtime_fail(EX_SOFTWARE, "given what is no key of the configuration", 0);
	if (!k->keys)
		r = keys_new(&k->keys);
	if (r == 0)
		r = fd_read_all(message->fds[0], LONGEST_FILE, &text, &pem.len);
	pem.data = text;
	pem.name = file_name(conf, place);
	if (r < 0 || !text)
		return runtime_fail(EX_CONFIG, pem.name, r);
	r = keys_add(k->keys, &pem, use_of(&conf->listeners[place->listener]), &fault);
	explicit_bzero(text, pem.len);
	free(text);
	if (r == 0)
		return 0;
	runtime_report_fault(place, fault.why.text);
	if (k->why.text[0] == '\0')
		k->why = fault.why;
	return 0; /* until all have been looked at */
}

static int keeper_on_prepare(struct runtime *runtime, struct message *message)
{
	struct keeper *k = keeper_of(runtime);

	if (k->why.text[0] != '\0')
		return runtime_fail(EX_CONFIG, k->why.text, 0);
	if (!runtime->conf || !k->keys)
		return runtime_fail(EX_SOFTWARE, "told to prepare without keys", 0);
	k->ready = true;
	return runtime_ready(runtime);
}

static int keeper_on_serve(struct runtime *runtime, struct message *message)
{
	return runtime_serving(runtime); /* it does so from the moment that it is ready */
}

static int keeper_on_drain(struct runtime *runtime, struct message *message)
{
	loop_stop(&runtime->loop, EX_OK);
	return 0;
}

const struct runtime_handler keeper_handlers[N_MESSAGES] = {
	[MSG_SETUP] = {runtime_setup, "cannot read its configuration"},
	[MSG_LOG_LEVEL] = {runtime_set_log_level, "cannot set the level of its records"},
	[MSG_FILE] = {keeper_on_file},
	[MSG_PREPARE] = {keeper_on_prepare},
	[MSG_CLIENT] = {keeper_on_client, "cannot take a worker's channel"},
	[MSG_CLIENT_GONE] = {keeper_on_client_gone},
	[MSG_SERVE] = {keeper_on_serve},
	[MSG_DRAIN] = {keeper_on_drain},
};

int keeper_main(void)
{
	struct keeper k = {.runtime = RUNTIME_INIT(k.runtime, keeper_handlers, ROLE_KEEPER)};
	int exit_code;

	list_init(&k.clients);
	exit_code = runtime_run(&k.runtime);
	list_foreach (node, &k.clients)
		client_end(container_of(node, struct key_client, node));
	keys_free(k.keys);
	runtime_done(&k.runtime);
	return exit_code;
}
