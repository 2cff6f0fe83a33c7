/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The page for a browser, as the build makes it from status_page.html, and the policy that lets nothing run
 * but its own script and nothing be loaded but /status.json. */

#include <stddef.h>

extern const char status_page[];
extern const size_t status_page_len;
extern const char status_page_policy[];
