/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Completions for shells, made of the tables of forms and options. */

#include "client/options.h"

/* Prints the script for "bash", "zsh" or "fish". The forms end with the nameless one. */
void completions_print(const char *shell, const struct form *forms);
