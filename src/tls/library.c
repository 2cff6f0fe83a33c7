/* SPDX-License-Identifier: Apache-2.0 */

#include <openssl/crypto.h>

#include "tls/tls.h"

const char *tls_library_version(void)
{
	return OpenSSL_version(OPENSSL_FULL_VERSION_STRING);
}
