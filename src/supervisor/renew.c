/* SPDX-License-Identifier: Apache-2.0 */

/* A certificate that was replaced is taken up as a reload is, with a generation of its own, but from
 * the configuration that serves: what an operator is about to change in the file is not for us to take
 * up half-way. What has expired is refused here, since nobody is looking. */

#include <string.h>

#include "base/log.h"
#include "supervisor/supervisor.h"

static void renew(struct supervisor *s)
{
	struct conf *conf;
	int r;

	r = generation_conf_again(s->serving, &conf);
	if (r < 0) {
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"cannot take up the files that were replaced");
		return;
	}
	log_each(EVENT_CERTIFICATE_RENEWED, ABOUT_NOTHING,
		"a file of the configuration was replaced; it is checked, then taken up");
	s->renewing = true;
	supervisor_build(s, conf);
}

void supervisor_renew(struct supervisor *s)
{
	s->renew_again = s->building != NULL;
	if (s->serving && !s->building && !s->stopping)
		renew(s);
}

static void on_change(struct watch *watch)
{
	supervisor_renew(container_of(watch, struct supervisor, watch));
}

void supervisor_watch(struct supervisor *s)
{
	int r;

	s->renew_again = false;
	s->watch.loop = &s->loop;
	s->watch.on_change = on_change;
	r = watch_start(&s->watch, generation_conf(s->serving), generation_files(s->serving));
	if (r < 0)
		log_event(EVENT_SYSTEM_REFUSED, ABOUT(.error = r),
			"files are not watched, so a new certificate wants a reload");
}
