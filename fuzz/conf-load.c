/* SPDX-License-Identifier: Apache-2.0 */

/* A configuration from memory. Faults are printed as well, since that is where they are escaped. */

#include "conf-load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/fault.h"
#include "fuzz.h"

/* libconfig forgets the string before a syntax error: a few bytes, once per faulty file. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so\n";
}

/* "a" is the text itself, so that includes meet the loop; other files are empty or missing. */
static int read_bytes(void *userdata, const char *path, char **ret_text, size_t *ret_len)
{
	const struct conf_bytes *bytes = userdata;
	size_t len = strcmp(path, "a") == 0 ? bytes->len : 0;

	if (strlen(path) > 1)
		return -ENOENT;
	*ret_text = malloc(len + 1);
	require(*ret_text);
	memcpy(*ret_text, bytes->text, len);
	*ret_len = len;
	return 0;
}

static void print_faults(const struct faults *faults)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	require(to);
	faults_print(faults, to);
	faults_print_json(faults, to);
	fclose(to);
	free(text);
}

char *conf_load_and_dump(const struct conf_bytes *bytes)
{
	struct conf_bytes userdata = *bytes;
	struct conf_source source = {.file = "a", .read = read_bytes, .userdata = &userdata};
	struct faults faults = FAULTS_EMPTY;
	struct conf *conf = NULL;
	char *text = NULL;
	int r = conf_load(&source, &faults, &conf);

	require(r == 0 || r == CONF_E_FAULTS);
	require((r == CONF_E_FAULTS) == faults_any_errors(&faults));
	require(r == 0 || faults.n > 0);
	require(r != 0 || conf_dump(conf, &text) == 0);
	print_faults(&faults);

	faults_done(&faults);
	conf_free(conf);
	return text;
}
