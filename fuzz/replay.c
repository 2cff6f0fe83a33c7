/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz harness over files instead of under libFuzzer, so that any compiler and every test
 * run keeps the harness alive and what it once found fixed. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

static void replay(const char *path)
{
	static uint8_t bytes[1024 * 1024];
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		exit(EXIT_FAILURE);
	}

	size_t size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);

	/* Memory of exactly the size, as libFuzzer gives it. */
	uint8_t *copy = malloc(size);
	for (size_t i = 0; copy && i < size; i++)
		copy[i] = bytes[i];
	printf("%s: %zu bytes\n", path, size);
	fflush(stdout);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	struct dirent **entries;
	char path[4096];
	int count;

	if (argc != 2 || (count = scandir(argv[1], &entries, is_visible, alphasort)) <= 0) {
		fprintf(stderr, "usage: %s FOLDER, with files in it\n", argv[0]);
		return EXIT_FAILURE;
	}

	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		replay(path);
		free(entries[i]);
	}
	free(entries);
	return EXIT_SUCCESS;
}
