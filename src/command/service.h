/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* --check --as-service: the same check as the installed unit would see it: as its user, behind its
 * restrictions, with its credentials, and with the sockets that systemd would pass to it. */

#include "conf/conf.h"
#include "conf/fault.h"
#include "process/options.h"

/* Reads the unit, and has systemd run this program once more with the settings of the unit. Returns the exit
 * code of that check, whose output goes to the same place, or that of a fault of the unit. */
int service_check(const struct options *options);

/* In that program: listeners against the sockets that would be passed, as a list of "NAME=TYPE:ADDRESS" with a
 * blank between two; and the listeners that the unit would have to bind by itself. */
void service_check_sockets(const struct conf *conf, const char *sockets, struct faults *faults);
/* Says how it looked, with which user, credentials and sockets, and how files that are out of reach can be handed
 * over. `conf` may be NULL. */
void service_describe(const struct conf *conf, const char *sockets);
