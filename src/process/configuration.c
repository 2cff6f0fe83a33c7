/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the configuration that the command line names. Files are read here and not in conf/,
 * which is handed text and makes no system call, so that a child can parse what it is given
 * inside of its sandbox, and a test can do it from memory.
 *
 * The same calls serve a start, a reload and --check, so that all three find the same faults in
 * the same order. */

#include "process/configuration.h"

#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/why.h"
#include "priv/ident.h"
#include "process/files.h"

#define LONGEST_FILE (16 << 20)

static int read_file(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	return fd_read_path(path, LONGEST_FILE, ret_text, ret_len);
}

static int load(const struct options *options, struct faults *faults, struct conf **ret_conf,
	int (*how)(const struct conf_source *, struct faults *, struct conf **))
{
	const struct conf_source source = {
		.file = options->file,
		.read = read_file,
		.sets = (const char *const *)options->sets,
	};
	int r = how(&source, faults, ret_conf);

	if (r < 0)
		faults_add(
			faults, &(struct fault_place){.file = options->file}, "%s", strerror(-r));
	return r;
}

int configuration_load(const struct options *options, struct faults *faults, struct conf **ret_conf)
{
	return load(options, faults, ret_conf, conf_load);
}

int configuration_load_draft(
	const struct options *options, struct faults *faults, struct conf **ret_conf)
{
	return load(options, faults, ret_conf, conf_load_draft);
}

void configuration_quote(struct faults *faults)
{
	conf_show_faults(faults, read_file, NULL);
}

/* Workers of a root supervisor must be able to become this user, so its absence stops a start. */
static void check_worker_account(const struct conf *conf, struct faults *faults)
{
	struct why why;
	bool is_user;
	uid_t uid;
	gid_t gid;
	int r;

	if (!ident_is_root() || !conf->user || !conf->group)
		return;
	r = ident_find(conf->user, conf->group, &uid, &gid);
	if (r == 0 && uid != 0)
		return;
	if (r == 0) {
		why_set(&why, 0, "\"%s\" is another name of root; name a user for workers",
			conf->user);
		fault_at_origin(origin_of(conf->origins, SCOPE_TOP, "user"), FAULT_ERROR, "user",
			why.text, faults);
		return;
	}
	is_user = r == IDENT_E_NO_USER;
	why_set(&why, 0,
		"there is no %s \"%s\" for the workers to become; make it, as with '%s --system "
		"%s', or name another",
		is_user ? "user" : "group", is_user ? conf->user : conf->group,
		is_user ? "adduser" : "addgroup", is_user ? conf->user : conf->group);
	fault_at_origin(origin_of(conf->origins, SCOPE_TOP, is_user ? "user" : "group"),
		FAULT_ERROR, is_user ? "user" : "group", why.text, faults);
}

static void check_control_group(const struct conf *conf, struct faults *faults)
{
	struct why why;
	gid_t gid;

	if (!conf->control_group || ident_find_group(conf->control_group, &gid) == 0)
		return;
	why_set(&why, 0, "there is no group \"%s\" to let in", conf->control_group);
	fault_at_origin(origin_of(conf->origins, SCOPE_TOP, "control.group"), FAULT_ERROR,
		"control.group", why.text, faults);
}

static void add_unknown_owner(const struct conf_listener *l, const char *word, const char *name,
	const char *what, struct faults *faults)
{
	struct why why;
	char key[FILE_KEY_TEXT];

	snprintf(key, sizeof(key), "listeners.%s.%s", l->name, word);
	why_set(&why, 0, "there is no %s \"%s\" to give the socket to", what, name);
	fault_at_origin(
		origin_of(l->origins, SCOPE_LISTENER, word), FAULT_ERROR, key, why.text, faults);
}

void configuration_check_accounts(const struct conf *conf, struct faults *faults)
{
	check_worker_account(conf, faults);
	check_control_group(conf, faults);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		uid_t uid;
		gid_t gid;

		if (l->owner && ident_find_user(l->owner, &uid) != 0)
			add_unknown_owner(l, "owner", l->owner, "user", faults);
		if (l->group && ident_find_group(l->group, &gid) != 0)
			add_unknown_owner(l, "group", l->group, "group", faults);
	}
}
