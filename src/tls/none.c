/* SPDX-License-Identifier: Apache-2.0 */

/* A build without TLS. The configuration refuses all listeners that need it, so these are never called. */

#include <errno.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "tls/keys.h"
#include "tls/tls.h"

const char *tls_library_version(void)
{
	return NULL;
}

int tls_new(struct tls **ret_tls)
{
	return -ENOTSUP;
}

void tls_free(struct tls *tls)
{
}

const char *tls_default_groups(struct tls *tls, bool is_datagram)
{
	return NULL;
}

void tls_set_timing(struct tls *tls, struct timing *timing)
{
}

int tls_set_keeper(struct tls *tls, int *fd)
{
	close(take_fd(fd));
	return -ENOTSUP;
}

int tls_serve(struct tls *tls, struct loop *loop)
{
	return -ENOTSUP;
}

int tls_context_new(struct tls *tls, const struct tls_spec *spec, struct tls_fault *fault,
	struct tls_context **ret_context)
{
	return -ENOTSUP;
}

int tls_check_certificate(struct tls *tls, const struct tls_certificate_spec *spec,
	struct tls_fault *fault, struct tls_dates *ret_dates)
{
	return -ENOTSUP;
}

void tls_context_free(struct tls_context *context)
{
}

const char *tls_context_certificate(
	const struct tls_context *context, size_t index, struct tls_dates *ret_dates)
{
	return NULL;
}

time_t tls_context_expiry(const struct tls_context *context, const char **ret_name)
{
	return 0;
}

time_t tls_context_lists_end(const struct tls_context *context)
{
	return 0;
}

int tls_open(void *context, int fd, struct transport *ret_transport)
{
	close(fd);
	return -ENOTSUP;
}

int tls_datagrams_new(struct tls_context *context, const uint8_t secret[static 32], size_t mtu,
	struct tls_datagrams **ret_datagrams)
{
	return -ENOTSUP;
}

void tls_datagrams_free(struct tls_datagrams *datagrams)
{
}

struct datagram_transport_maker tls_datagrams_maker(struct tls_datagrams *datagrams)
{
	return (struct datagram_transport_maker){0};
}

int keys_new(struct keys **ret_keys)
{
	return -ENOTSUP;
}

void keys_free(struct keys *keys)
{
}

int keys_add(
	struct keys *keys, const struct tls_text *pem, enum key_use use, struct tls_fault *fault)
{
	return -ENOTSUP;
}

int keys_reply(struct keys *keys, int fd)
{
	return -ENOTSUP;
}
