/* SPDX-License-Identifier: Apache-2.0 */

/* libcap-ng does the work; here is what is kept, and why.
 *
 * Every step of giving up is checked by its result, and that there is no way back is tried out. */

#include "priv/ident.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What a reload and a respawn need of a supervisor that is started as root. */
static const capng_type_t kept_sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
static const unsigned kept[] = {
	CAP_SETUID,           /* children become `user` ... */
	CAP_SETGID,           /* ... and `group` */
	CAP_SETPCAP,          /* children empty their bounding set */
	CAP_KILL,             /* children of another user are told to stop */
	CAP_NET_BIND_SERVICE, /* a reload may add a listener below port 1024 */
	CAP_NET_RAW,          /* ... or one with `interface` */
	CAP_CHOWN,            /* ... or a unix socket with `owner` and `group` */
	CAP_FOWNER,           /* ... and `mode` */
	CAP_DAC_OVERRIDE,     /* ... in a folder that belongs to somebody else */
};

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
int ident_narrow(void)
{
	bool had[sizeof(kept) / sizeof(kept[0])];

	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		had[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (had[i])
			capng_update(CAPNG_ADD, kept_sets, kept[i]);
	return capng_apply(CAPNG_SELECT_ALL) < 0 ? -EPERM : 0;
}

int ident_renounce(void)
{
	capng_get_caps_process();
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0)
		return -EPERM;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int ident_become(uid_t uid, gid_t gid)
{
	int r;

	capng_get_caps_process();
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
