/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A probe of one or more servers, as samples of OpenMetrics. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/exchange.h"

/* The question and the answer to expect, made of the options. */
struct probing {
	const struct options *options;
	struct inquiry inquiry;
	struct texts texts;
	uint8_t *question;
	regex_t pattern;
	bool has_pattern;
};

struct probed {
	struct server server;
	struct exchange exchange;
	int outcome; /* as of the exchange; or why there is none */
	struct why why;
};

/* CLIENT_E_USAGE and why. */
int probing_init(struct probing *probing, const struct options *options, struct why *why);
void probing_done(struct probing *probing);

/* Probes all URLs at once. `all` has room for `n`, all zero; probed_done() frees them. */
int probe_all(const struct probing *probing, char *const *urls, struct probed *all, size_t n);
void probed_done(struct probed *all, size_t n);

/* All samples, and the line that ends them. Without a label for the target when the scraper has one. */
void probe_print(FILE *to, const struct probed *all, size_t n, bool has_label);

/* Probes all URLs, and reports as the options ask. */
int probe_once(const struct probing *probing, char *const *urls, size_t n);
