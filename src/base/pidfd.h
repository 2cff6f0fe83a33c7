/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A child process by its descriptor, which cannot come to mean another process. */

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

/* Of a child that has not been waited for. When there is no descriptor, the child is killed and reaped. */
int pidfd_of_child(pid_t pid);
void pidfd_kill(int pidfd, int signal);
/* After an event of the descriptor: reaps the child if it has ended. An end that the system does not explain is one
 * too, with si_pid 0: the descriptor would say so for ever. */
bool pidfd_has_ended(int pidfd, siginfo_t *ret_how);
/* Kills the child, and waits until it is gone. */
void pidfd_bury(int pidfd);
