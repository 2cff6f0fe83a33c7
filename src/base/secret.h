/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory for what must not be found on a disk later: neither swapped nor part of a core dump, as far
 * as the system lets us. */

#include <stddef.h>

/* For this process; zero bytes. */
int secret_map(size_t size, void **ret_memory);
/* For several processes: the descriptor is all that one needs to attach it. */
int secret_share(const char *name, size_t size, int *ret_fd, void **ret_memory);
/* Read only. */
int secret_attach(int fd, size_t size, const void **ret_memory);
void secret_unmap(const void *memory, size_t size);
