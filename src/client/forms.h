/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What `upper` can be: one call per form of the command. Each returns 0, CLIENT_E_* or a negative
 * errno, and has said what there is to say. */

struct options;
struct server;
struct why;

int talk_run(const struct options *options); /* one-shot, interactive or filter */
int ping_run(const struct options *options);
int check_run(const struct options *options);
int check_refuse(const struct options *options, const char *text); /* a fault in its command line */
int bench_run(const struct options *options);

/* The three kinds of talk, for talk_run() alone. */
int oneshot_run(const struct server *server);
int interactive_run(const struct server *server);
int filter_run(const struct server *server);
int filter_refuse(const struct server *server, int outcome, const struct why *why);
