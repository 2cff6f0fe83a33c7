/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Time that only goes forward, for deadlines and rates. */

#include <stdint.h>

uint64_t clock_ms(void); /* CLOCK_MONOTONIC */
uint64_t clock_us(void);
uint64_t clock_ns(void);
