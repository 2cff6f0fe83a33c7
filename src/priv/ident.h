/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* User, group and capabilities of a process, and giving them up. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { IDENT_E_NO_USER = 1, IDENT_E_NO_GROUP };

/* Names or numbers; `group` NULL: the user's own. */
int ident_find(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid);
int ident_find_user(const char *user, uid_t *ret_uid);
int ident_find_group(const char *group, gid_t *ret_gid);

bool ident_is_root(void);

/* Keeps these capabilities, as far as it has them, and no other; children inherit no more. */
int ident_narrow(const unsigned *kept, size_t n);
/* Becomes another user for good: no supplementary groups, no capability in any set. */
int ident_become(uid_t uid, gid_t gid);
/* The part of it that is also for those who are not root. */
int ident_renounce(void);
