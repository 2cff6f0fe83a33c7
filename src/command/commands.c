/* SPDX-License-Identifier: Apache-2.0 */

/* Reading, checking and showing a configuration. */

#include "command/commands.h"

#include <stdio.h>
#include <sysexits.h>

#include "base/cleanup.h"
#include "command/check.h"
#include "conf/fault.h"
#include "config.h"
#include "process/configuration.h"
#include "process/confine.h"

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
	char why[SANDBOX_WHY];

	if (confine_probe(conf, why) != 0)
		faults_add(faults, &(struct fault_place){.level = FAULT_ERROR, .key = "sandbox"},
			"%s", why);
}

int command_check(const struct options *options)
{
	_cleanup_conf_ struct conf *conf = NULL;
	_cleanup_faults_ struct faults faults = FAULTS_EMPTY;
	bool sound;

	configuration_load_draft(options, &faults, &conf);
	if (conf) {
		check_sandbox(conf, &faults);
		configuration_check_accounts(conf, &faults);
		check_files(conf, &faults);
	}
	if (options->strict)
		faults_harden(&faults);
	sound = !faults_any_errors(&faults);
	configuration_quote(&faults);
	print_faults(options, &faults);
	if (sound && !options->json)
		printf("%s: sound\n", options->file);
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
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
		perror("upperd: stdout");
		return EX_IOERR;
	}
	return EX_OK;
}

int command_version(void)
{
	printf("upperd %s (Unicode %s)\nfeatures: %ctls %csystemd %cseccomp\n", UPPERD_VERSION,
		upper_unicode_version(), HAVE_TLS ? '+' : '-', HAVE_SYSTEMD ? '+' : '-',
		HAVE_SECCOMP ? '+' : '-');
	return EX_OK;
}
