/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Static probes for bpftrace, perf and SystemTap, of the provider "upperd". One is a nop and a note in the
 * program until it is traced; docs/probes has a script for each. Without sys/sdt.h they are nothing. */

#include "config.h"

#if HAVE_PROBES
#include <sys/sdt.h>
#define PROBE2(name, a, b)    DTRACE_PROBE2(upperd, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(upperd, name, a, b, c)
#else
#define PROBE2(name, a, b)    ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif
