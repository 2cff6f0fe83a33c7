/* SPDX-License-Identifier: Apache-2.0 */

/* The commands that print and end: --check, --dump and --version. They read the configuration as
 * a start would, with the same calls, and change nothing: no socket is bound and no sandbox
 * entered. With --as-service, systemd runs the check (service.c). */

#include "command/commands.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/why.h"
#include "command/check.h"
#include "command/service.h"
#include "conf/fault.h"
#include "config.h"
#include "process/configuration.h"
#include "process/role_sandbox.h"
#include "tls/tls.h"

/* Faults go to stdout as JSON, for a program that asked for it, and to stderr for a person. */
static void print_faults(const struct options *options, const struct faults *faults)
{
	if (options->json)
		faults_print_json(faults, stdout);
	else
		faults_print(faults, stderr);
}

/* A layer of the sandbox that a start would lack. */
static void check_sandbox(const struct conf *conf, struct faults *faults)
{
	struct why why;

	if (sandbox_precheck(conf, &why) != 0)
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR, .key = "sandbox"},
			"%s", why.text);
}

static bool speaks(const struct conf *conf, enum conf_transport transport)
{
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf->listeners[i].transport == transport)
			return true;
	return false;
}

/* The value of a key that is unset, where it depends on the library; nothing for listeners without TLS. */
static void print_default_groups(const struct conf *conf)
{
	struct tls *tls;

	if ((!speaks(conf, CONF_TLS) && !speaks(conf, CONF_DTLS)) || tls_new(&tls) != 0)
		return;
	printf("# Groups where none are set, with OpenSSL %s:", tls_library_version());
	if (speaks(conf, CONF_TLS))
		printf(" %s", tls_default_groups(tls, false));
	if (speaks(conf, CONF_DTLS))
		printf("%s %s for DTLS", speaks(conf, CONF_TLS) ? "," : "",
			tls_default_groups(tls, true));
	printf("\n");
	tls_free(tls);
}

/* Warnings, and remarks where something stands in front of the fault. */
static void check_library(
	const struct conf *conf, const struct options *options, struct faults *faults)
{
	const bool is_datagram = speaks(conf, CONF_DTLS);
	const char *version = tls_library_version();
	const struct tls_known_fault *fault;
	size_t at = 0;

	if (!is_datagram && !speaks(conf, CONF_TLS))
		return;
	while ((fault = tls_known_fault(version, is_datagram, &at))) {
		if (!fault->shield)
			faults_add(faults, &(struct fault_place){.level = FAULT_WARNING},
				"OpenSSL %s has %s, unless its distribution has mended it: %s; a "
				"later version will do",
				version, fault->name, fault->what);
		else if (!options->json)
			printf("OpenSSL %s may have %s: %s; no matter here: %s\n", version,
				fault->name, fault->what, fault->shield);
	}
}

static void print_groups(const struct conf *conf)
{
	struct tls *tls = NULL;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *l = &conf->listeners[i];

		if (!conf_has_tls(l) || (!tls && tls_new(&tls) != 0))
			continue;
		printf("listeners.%s: groups %s (%s, OpenSSL %s)\n", l->name,
			l->tls.groups ? l->tls.groups
				      : tls_default_groups(tls, l->transport == CONF_DTLS),
			l->tls.groups ? "as set" : "default", tls_library_version());
	}
	tls_free(tls);
}

/* An answer that was lost is not one that was given. */
static int end_output(int code)
{
	if (!ferror(stdout) && fflush(stdout) == 0)
		return code;
	perror("upperd: stdout");
	return EX_IOERR;
}

static void print_verdict(const struct options *options, size_t warnings)
{
	printf("%s: OK", options->file);
	if (warnings > 0)
		printf(" with %zu warning%s", warnings, warnings > 1 ? "s" : "");
	printf("\n");
}

int command_check(const struct options *options)
{
	_cleanup_conf_ struct conf *conf = NULL;
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	bool sound;

	if (options->as_service)
		return service_check(options);
	configuration_load_draft(options, &faults, &conf);
	if (conf) {
		check_sandbox(conf, &faults);
		configuration_check_accounts(conf, &faults);
		check_files(conf, &faults);
		check_library(conf, options, &faults);
		if (options->sockets)
			service_check_sockets(conf, options->sockets, &faults);
	}
	if (options->strict)
		faults_harden(&faults);
	sound = !faults_any_errors(&faults);
	configuration_quote(&faults);
	print_faults(options, &faults);
	if (options->sockets && !options->json)
		service_describe(conf, options->sockets);
	if (conf && sound && !options->json)
		print_groups(conf);
	if (sound && !options->json)
		print_verdict(options, faults.n);
	if (options->json)
		return end_output(sound ? EX_OK : EX_CONFIG);
	return sound ? EX_OK : EX_CONFIG;
}

int command_dump(const struct options *options)
{
	_cleanup_conf_ struct conf *conf = NULL;
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	_cleanup_free_ char *text = NULL;

	if (configuration_load(options, &faults, &conf) != 0) {
		print_faults(options, &faults);
		return EX_CONFIG;
	}
	if (conf_dump(conf, &text) < 0)
		return EX_OSERR;
	fputs(text, stdout);
	print_default_groups(conf);
	return end_output(EX_OK);
}

int command_completions(const struct options *options)
{
	_cleanup_conf_ struct conf *conf = NULL;
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;

	if (strcmp(options->completions, "keys") != 0) {
		options_print_completions(options->completions);
	} else {
		configuration_load_draft(options, &faults, &conf);
		conf_print_keys(conf, stdout);
	}
	return end_output(EX_OK);
}

static void print_libraries(struct json *json)
{
	static const struct {
		const char *name, *version;
	} libraries[] = {UPPERD_LIBRARIES};

	json_list(json, "libraries");
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		json_object(json, NULL);
		json_string(json, "name", libraries[i].name);
		json_string(json, "built_with", libraries[i].version);
		if (strcmp(libraries[i].name, "libssl") == 0)
			json_string(json, "runs_with", tls_library_version());
		json_end(json);
	}
	json_end(json);
}

static void print_version_json(void)
{
	struct json json = JSON_TO(stdout);

	json_object(&json, NULL);
	json_string(&json, "version", UPPERD_VERSION);
	json_string(&json, "build", UPPERD_BUILD);
	json_string(&json, "compiler", UPPERD_COMPILER);
	json_string(&json, "unicode", upper_unicode_version());
	json_object(&json, "features");
	json_bool(&json, "tls", HAVE_TLS);
	json_bool(&json, "systemd", HAVE_SYSTEMD);
	json_bool(&json, "seccomp", HAVE_SECCOMP);
	json_end(&json);
	print_libraries(&json);
	json_end(&json);
}

int command_version(const struct options *options)
{
	if (options->json)
		print_version_json();
	else
		printf("upperd %s (Unicode %s)\nfeatures: %ctls %csystemd %cseccomp\n",
			UPPERD_VERSION, upper_unicode_version(), HAVE_TLS ? '+' : '-',
			HAVE_SYSTEMD ? '+' : '-', HAVE_SECCOMP ? '+' : '-');
	return end_output(EX_OK);
}
