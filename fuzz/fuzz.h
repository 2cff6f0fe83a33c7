/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every harness has. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The name that libFuzzer calls. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold. Unlike assert(), never compiled away. */
#define require(fact) ((fact) ? (void)0 : abort())
