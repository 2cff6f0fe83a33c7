/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Numbers of processes that the service manager writes into the environment: LISTEN_PID, WATCHDOG_PID. */

#include <stdbool.h>
#include <unistd.h>

/* The first process of a namespace (PrivatePIDs=) has the number 1 there, and a parent outside, which has
 * written the number that it has out there: then there is nothing to compare, and none but us to be meant. */
static inline bool pid_is_first(void)
{
	return getpid() == 1 && getppid() == 0;
}

static inline bool pid_is_ours(unsigned long number)
{
	return number == (unsigned long)getpid() || pid_is_first();
}
