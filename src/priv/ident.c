/* SPDX-License-Identifier: Apache-2.0 */

/* libcap-ng does the work; what is kept, and why, is in priv/policy.c.
 *
 * Every step of giving up is checked by its result, and that there is no way back is tried out. */

#include "priv/ident.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

static const capng_type_t kept_sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;

/* A number is taken as it is, since containers have users without names. */
static bool ident_number(const char *text, unsigned *ret_id)
{
	unsigned long id;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	id = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || id >= UINT32_MAX)
		return false;
	*ret_id = (unsigned)id;
	return true;
}

int ident_find_user(const char *user, uid_t *ret_uid)
{
	const struct passwd *pw;

	if (ident_number(user, ret_uid))
		return 0;
	pw = getpwnam(user);
	if (!pw)
		return IDENT_E_NO_USER;
	*ret_uid = pw->pw_uid;
	return 0;
}

int ident_find_group(const char *group, gid_t *ret_gid)
{
	const struct group *gr;

	if (ident_number(group, ret_gid))
		return 0;
	gr = getgrnam(group);
	if (!gr)
		return IDENT_E_NO_GROUP;
	*ret_gid = gr->gr_gid;
	return 0;
}

int ident_find(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid)
{
	uid_t uid;
	gid_t gid;
	int r;

	r = ident_find_user(user, &uid);
	if (r != 0)
		return r;
	r = ident_find_group(group, &gid);
	if (r != 0)
		return r;

	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

bool ident_is_root(void)
{
	return geteuid() == 0;
}

/* An inherited set may already be smaller than what we would keep: nothing is asked for that is not
 * there. */
int ident_narrow(const unsigned *kept, size_t n)
{
	uint64_t had = 0;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; i < n; i++)
		if (capng_have_capability(CAPNG_PERMITTED, kept[i]))
			had |= 1ULL << kept[i];
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < n; i++)
		if (had & 1ULL << kept[i])
			capng_update(CAPNG_ADD, kept_sets, kept[i]);
	return capng_apply(CAPNG_SELECT_ALL) < 0 ? -EPERM : 0;
}

int ident_renounce(void)
{
	if (capng_get_caps_process() < 0)
		return -EPERM;
	capng_clear(CAPNG_SELECT_ALL);
	return capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0 ? -EPERM : 0;
}

int ident_become(uid_t uid, gid_t gid)
{
	int r;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_BOUNDS) < 0)
		return -EPERM;
	if (setgroups(0, NULL) < 0)
		return -errno;
	if (setresgid(gid, gid, gid) < 0)
		return -errno;
	if (setresuid(uid, uid, uid) < 0)
		return -errno;

	r = ident_renounce();
	if (r < 0)
		return r;
	if (uid != 0 && setresuid(0, 0, 0) == 0)
		return -EPERM;
	return 0;
}
