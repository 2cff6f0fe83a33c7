/* SPDX-License-Identifier: Apache-2.0 */

/* Root at a shell reads files that the service cannot, and has none of its credentials and sockets. So systemd
 * is asked to run the check: in a transient unit that has all settings of the real one which make a difference
 * to it. Sockets alone cannot be passed on, since the real unit may be using them; they are told by name, type
 * and address. */

#include "command/service.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/why.h"

#define MOST_ARGUMENTS 256

/* A command line that grows; its strings are owned. */
struct command {
	char *argv[MOST_ARGUMENTS];
	size_t n;
};

static void command_done(struct command *command)
{
	for (size_t i = 0; i < command->n; i++)
		free(command->argv[i]);
}

__attribute__((format(printf, 2, 3))) static void command_add(
	struct command *command, const char *format, ...)
{
	va_list args;

	if (command->n + 1 >= MOST_ARGUMENTS)
		return;
	va_start(args, format);
	if (vasprintf(&command->argv[command->n], format, args) >= 0)
		command->argv[++command->n] = NULL;
	va_end(args);
}

/* Runs it to its end. `ret_output`, where not NULL, gets its standard output. Returns its exit code, or a
 * negative errno. */
static int command_run(const struct command *command, char **ret_output)
{
	posix_spawn_file_actions_t actions;
	_cleanup_fclose_ FILE *output = NULL;
	size_t size = 0;
	int ends[2] = {-1, -1}, status, r;
	pid_t pid;

	if (ret_output && pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (ret_output)
		posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	r = posix_spawnp(&pid, command->argv[0], &actions, NULL, command->argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (ret_output) {
		close(ends[1]);
		output = fdopen(ends[0], "r");
	}
	if (r != 0)
		return -r;
	if (ret_output && (!output || getdelim(ret_output, &size, '\0', output) < 0)) {
		free(*ret_output);
		*ret_output = strdup("");
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

__attribute__((format(printf, 1, 2))) static char *systemctl(const char *format, ...)
{
	struct command command = {.n = 0};
	_cleanup_free_ char *words = NULL;
	char *output = NULL, *rest = NULL;
	va_list args;
	int r;

	va_start(args, format);
	if (vasprintf(&words, format, args) < 0)
		words = NULL;
	va_end(args);
	if (!words)
		return NULL;
	command_add(&command, "systemctl");
	for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		command_add(&command, "%s", word);
	r = command_run(&command, &output);
	command_done(&command);
	if (r != 0) {
		free(output);
		return NULL;
	}
	return output;
}

/* Settings that start, end and restart a unit, and those that make or keep something for it. All others belong
 * to how the program sees the system. */
static bool is_for_check(const char *setting)
{
	static const char *const others[] = {"Type=", "Exec", "Restart", "Watchdog", "Timeout",
		"Runtime", "State", "Cache", "Logs", "Configuration", "Kill",
		"OOMPolicy=", "NotifyAccess=", "FileDescriptorStore",
		"Sockets=", "PIDFile=", "BusName=", "Standard", "NonBlocking=", "Success",
		"RemainAfterExit=", "GuessMainPID=", "PAMName=", "TTY",
		/* Of no use to a check, and systemd-run 257 does not know each of its values. */
		"ProtectControlGroups="};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strncmp(setting, others[i], strlen(others[i])) == 0)
			return false;
	return strchr(setting, '=') != NULL;
}

/* The text of a unit with its drop-ins, a setting at a time; lines that end with a backslash go on. */
static void take_settings(struct command *command, char *unit, char **ret_start)
{
	bool in_service = false;
	char *rest = NULL;

	for (char *line = strtok_r(unit, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		size_t len = strlen(line);

		for (; len > 0 && line[len - 1] == '\\' && rest && *rest; len = strlen(line)) {
			char *next = strtok_r(NULL, "\n", &rest);

			line[len - 1] = ' ';
			if (next)
				memmove(line + len, next, strlen(next) + 1);
		}
		line += strspn(line, " \t");
		if (*line == '[')
			in_service = strncmp(line, "[Service]", 9) == 0;
		if (!in_service || *line == '[' || *line == '#' || *line == ';')
			continue;
		if (strncmp(line, "ExecStart=", 10) == 0)
			*ret_start = line[10] ? line + 10 : NULL;
		else if (is_for_check(line))
			command_add(command, "--property=%s", line);
	}
}

/* "[::]:12000 (Datagram)" */
static void add_socket(char **sockets, const char *name, const char *listen)
{
	const char *kind = strchr(listen, '(');
	char *longer;

	if (!kind ||
		asprintf(&longer, "%s%s%s=%s:%.*s", *sockets, **sockets ? " " : "", name,
			strncmp(kind, "(Datagram", 9) == 0 ? "datagram" : "stream",
			(int)strcspn(listen, " "), listen) < 0)
		return;
	free(*sockets);
	*sockets = longer;
}

/* Socket units that are open now, or that a start of the unit opens. */
static char *find_sockets(const char *unit)
{
	_cleanup_free_ char *triggers = systemctl("show --value -p TriggeredBy %s", unit);
	char *sockets = strdup(""), *rest = NULL;

	for (char *one = triggers ? strtok_r(triggers, " \n", &rest) : NULL; one && sockets;
		one = strtok_r(NULL, " \n", &rest)) {
		_cleanup_free_ char *shown = systemctl(
			"show -p FileDescriptorName -p Listen -p ActiveState -p UnitFileState %s",
			one);
		char *name, *lines = NULL;

		if (!shown ||
			(!strstr(shown, "ActiveState=active") &&
				!strstr(shown, "UnitFileState=enabled")))
			continue;
		name = strstr(shown, "FileDescriptorName=");
		name = strndup(name ? name + 19 : one, strcspn(name ? name + 19 : one, "\n"));
		for (char *line = strtok_r(shown, "\n", &lines); line && name;
			line = strtok_r(NULL, "\n", &lines))
			if (strncmp(line, "Listen=", 7) == 0)
				add_socket(&sockets, name, line + 7);
		free(name);
	}
	return sockets;
}

/* Of the two that are shipped, one excludes the other. */
static const char *installed_unit(void)
{
	_cleanup_free_ char *enabled = systemctl("is-enabled --quiet upperd-bind.service");
	_cleanup_free_ char *active = systemctl("is-active --quiet upperd-bind.service");

	return enabled || active ? "upperd-bind.service" : "upperd.service";
}

static int report_refusal(const struct options *options, const struct why *why)
{
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;

	faults_add(&faults, &(struct fault_place){.level = FAULT_ERROR}, "%s", why->text);
	if (options->json)
		faults_print_json(&faults, stdout);
	else
		faults_print(&faults, stderr);
	return EX_CONFIG;
}

/* Exit codes of systemd itself, for a program that it could not start. */
static const char *start_error(int code)
{
	switch (code) {
	case 200:
		return "its working directory cannot be entered";
	case 203:
		return "its program cannot be executed";
	case 216:
		return "there is no such group as in Group=";
	case 217:
		return "there is no such user as in User=";
	case 226:
		return "its view of the file system cannot be made";
	case 243:
		return "a credential of LoadCredential= cannot be read";
	default:
		return "systemd cannot start a program with its settings";
	}
}

static void add_program(
	struct command *command, const struct options *options, char *start, const char *sockets)
{
	char *rest = NULL;

	for (char *word = strtok_r(start, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		command_add(command, "%s", word);
	command_add(command, options->strict ? "--check=strict" : "--check");
	if (options->json)
		command_add(command, "--json");
	if (options->is_file_given)
		command_add(command, "--config=%s", options->file);
	for (const char *const *set = (const char *const *)options->sets; *set; set++)
		command_add(command, "--set=%s", *set);
	command_add(command, "--sockets=%s", sockets);
}

int service_check(const struct options *options)
{
	static const char *const run[] = {
		"systemd-run", "--quiet", "--wait", "--pipe", "--collect"};
	const char *unit = installed_unit();
	_cleanup_free_ char *text = systemctl("cat -- %s", unit), *sockets = NULL;
	struct command command = {.n = 0};
	struct why why;
	char *start = NULL;
	int r;

	if (geteuid() != 0) {
		why_set(&why, 0, "--as-service has systemd run the check, which takes root");
		return report_refusal(options, &why);
	}
	if (!text) {
		why_set(&why, 0, "systemd does not run here, or has no unit %s", unit);
		return report_refusal(options, &why);
	}
	sockets = find_sockets(unit);
	for (size_t i = 0; i < sizeof(run) / sizeof(run[0]); i++)
		command_add(&command, "%s", run[i]);
	take_settings(&command, text, &start);
	command_add(&command, "--");
	if (start)
		add_program(&command, options, start, sockets ? sockets : "");
	r = start ? command_run(&command, NULL) : -ENOEXEC;
	command_done(&command);
	/* 1 is of systemd-run, which could not begin; no check ends with it. */
	if (r >= 0 && r < 200 && r != 1)
		return r;
	why_set(&why, 0, "%s: %s", unit, r < 0 ? strerror(-r) : start_error(r));
	return report_refusal(options, &why);
}

/* As a .socket unit names it: [::]:12000, 127.0.0.1:12000, 12000 or a path. */
static bool parse_listen(const char *text, struct addr *ret_addr)
{
	char host[ADDR_TEXT];
	const char *colon = strrchr(text, ':');
	const char *port = colon ? colon + 1 : text;
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (*text == '/' || *text == '@')
		return addr_parse_unix(text, ret_addr) == 0;
	if (len >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)len, len > 0 ? text : "");
	if (len == 0)
		snprintf(host, sizeof(host), "::");
	if (*host == '[') {
		memmove(host, host + 1, len);
		host[strcspn(host, "]")] = '\0';
	}
	return addr_parse(host, (uint16_t)strtoul(port, NULL, 10), ret_addr) == 0;
}

static bool takes_datagrams(const struct conf_listener *l)
{
	return l->transport == CONF_UDP || l->transport == CONF_DTLS;
}

static bool fits(const struct conf_listener *l, bool datagrams, const struct addr *found)
{
	const struct addr *wanted = &l->address;
	bool is_unix = wanted->sa.sa_family == AF_UNIX;

	if (datagrams != takes_datagrams(l) || addr_port(wanted) != addr_port(found) ||
		is_unix != (found->sa.sa_family == AF_UNIX))
		return false;
	return addr_equal(wanted, found) ||
		(!is_unix && addr_is_wildcard(wanted) &&
			(wanted->sa.sa_family == AF_INET6 || found->sa.sa_family == AF_INET));
}

static bool may_bind_low_ports(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	_cleanup_fclose_ FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
	char first[16];

	if (file && fgets(first, sizeof(first), file) && strtol(first, NULL, 10) <= 1)
		return true;
	return syscall(SYS_capget, &head, data) == 0 &&
		(data[0].effective & 1u << CAP_NET_BIND_SERVICE);
}

/* A listener that no socket is passed for. */
static void check_own_socket(
	const struct conf_listener *l, const char *sockets, struct faults *faults)
{
	char key[128], name[CONF_LISTENER_NAME], rename[128] = "";
	const struct fault_place place = {.key = key};
	int fd = socket(l->address.sa.sa_family,
		(takes_datagrams(l) ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	snprintf(key, sizeof(key), "listeners.%s", l->name);
	if (conf_socket_name(l, name))
		snprintf(rename, sizeof(rename), "name = \"%s\" for the listener, and ", name);
	if (fd < 0 || *sockets)
		faults_add(faults, &place,
			"there is no socket for it among those that systemd passes (%s), and the "
			"unit opens none by itself: say %senable a .socket unit with "
			"FileDescriptorName=%s",
			*sockets ? sockets : "none", rename, name);
	else if (!l->path && l->port < 1024 && !may_bind_low_ports())
		faults_add(faults, &place,
			"port %u takes CAP_NET_BIND_SERVICE: add it to AmbientCapabilities= and "
			"CapabilityBoundingSet= of the unit",
			l->port);
	if (fd >= 0)
		close(fd);
}

static bool next_listener(const struct conf *conf, size_t i, struct conf_listener *ret_listener)
{
	if (i < conf->n_listeners)
		*ret_listener = conf->listeners[i];
	return i < conf->n_listeners ||
		(i == conf->n_listeners && conf_metrics(conf, ret_listener));
}

static void check_passed(
	const struct conf *conf, const char *name, const char *socket, struct faults *faults)
{
	const char *colon = strchr(socket, ':');
	bool datagrams = strncmp(socket, "datagram", 8) == 0;
	struct conf_listener l;
	struct addr addr;
	char text[ADDR_TEXT];

	for (size_t i = 0; next_listener(conf, i, &l); i++) {
		if (!l.name || strcmp(l.name, name) != 0)
			continue;
		if (!colon || !parse_listen(colon + 1, &addr) || fits(&l, datagrams, &addr))
			return;
		faults_add(faults, &(struct fault_place){.key = name},
			"the socket that systemd passes is %s, and the listener asks for %s %s",
			socket, conf_transport_name(l.transport), addr_format(&l.address, text));
		return;
	}
	faults_add(faults, &(struct fault_place){.key = name},
		"systemd passes a socket of this name, and no listener has it: disable its .socket "
		"unit, "
		"or add the listener");
}

static bool is_passed(const char *sockets, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = sockets; (at = strstr(at, name)); at += len)
		if ((at == sockets || at[-1] == ' ') && at[len] == '=')
			return true;
	return false;
}

void service_check_sockets(const struct conf *conf, const char *sockets, struct faults *faults)
{
	_cleanup_free_ char *copy = strdup(sockets);
	struct conf_listener l;
	char *rest = NULL;

	for (char *one = copy ? strtok_r(copy, " ", &rest) : NULL; one;
		one = strtok_r(NULL, " ", &rest)) {
		char *equals = strchr(one, '=');

		if (!equals)
			continue;
		*equals = '\0';
		check_passed(conf, one, equals + 1, faults);
	}
	for (size_t i = 0; next_listener(conf, i, &l); i++)
		if (l.name && !is_passed(sockets, l.name))
			check_own_socket(&l, sockets, faults);
}

/* How to hand over files that root alone may read. */
static void advise_on_files(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_tls *tls = &conf->listeners[i].tls;

		for (size_t c = 0; conf_has_tls(&conf->listeners[i]) && c < tls->n_certificates;
			c++) {
			const char *key = tls->certificates[c].key;

			if (key && access(key, R_OK) < 0 && errno == EACCES)
				fprintf(stderr,
					"%s: this user may not read it; it is handed over by "
					"'systemctl "
					"enable --now upperd-certificate@NAME', or by "
					"LoadCredential= "
					"and credential:NAME\n",
					key);
		}
	}
}

void service_describe(const struct conf *conf, const char *sockets)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	DIR *dir = folder ? opendir(folder) : NULL;
	const struct dirent *entry;
	bool any = false;

	if (conf)
		advise_on_files(conf);
	fprintf(stderr, "looked as user %s; credentials:", user ? user->pw_name : "without a name");
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			fprintf(stderr, " %s", entry->d_name);
			any = true;
		}
	if (dir)
		closedir(dir);
	fprintf(stderr, "%s; sockets: %s\n", any ? "" : " none", *sockets ? sockets : "none");
}
