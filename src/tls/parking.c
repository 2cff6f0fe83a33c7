/* SPDX-License-Identifier: Apache-2.0 */

/* The library asks for a signature in the middle of SSL_accept(), and must have it before that returns. Therefore
 * SSL_accept() runs in a job of the library, which has a stack of its own: signer.c sends the request and leaves
 * the job. The stack is kept until the reply is there, and the same call then goes on.
 *
 * No more than PARKED_MOST stacks of 32 KiB exist, of which a handshake needs less than half. One that gets none
 * blocks the worker while the keeper signs. The certificates of a client, which an attacker can make deep, come
 * after the signature, and are looked at on the ordinary stack.
 *
 * A job that was begun must be brought to its end, or its stack would be lost; hence parking_end(). */

#include "tls/parking.h"

#include <errno.h>

int parking_init(void)
{
	return ASYNC_init_thread(PARKED_MOST, 0) == 1 ? 0 : -ENOMEM;
}

void parking_done(void)
{
	ASYNC_cleanup_thread();
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>

#define JOB_STACK 32768

/* The sanitizer has to know on which stack the program is. The library keeps that of a job to itself; but a job
 * begins at its top. */
static void note_stack(const void *bottom, size_t size, struct parking *parking)
{
	__sanitizer_start_switch_fiber(NULL, bottom, size);
	__sanitizer_finish_switch_fiber(NULL, &parking->stack.before, &parking->stack.size_before);
}

static void note_job(struct parking *parking, const void *top)
{
	parking->stack.top = top;
	note_stack((const char *)top - JOB_STACK, JOB_STACK, parking);
}

static void note_return(struct parking *parking)
{
	const void *bottom = parking->stack.before;

	if (bottom)
		note_stack(bottom, parking->stack.size_before, parking);
	parking->stack.before = NULL;
}
#else
static void note_job(struct parking *parking, const void *top)
{
	parking->stack.top = top;
}

static void note_return(struct parking *parking)
{
}
#endif

static int accept_job(void *userdata)
{
	struct parking *parking = *(struct parking **)userdata;

	note_job(parking, __builtin_frame_address(0));
	return SSL_accept(parking->ssl);
}

/* Called by signer_request(), deep in the library. */
static void parking_leave(struct parked *parked)
{
	struct parking *parking = container_of(parked, struct parking, parked);

	ASYNC_pause_job();
	note_job(parking, parking->stack.top);
}

/* Begins a job, or goes on with the one that was left. */
static int parking_run(struct parking *parking)
{
	int r = -1, status;

	status = ASYNC_start_job(
		&parking->job, parking->waits, &r, accept_job, &parking, sizeof(void *));
	note_return(parking);
	switch (status) {
	case ASYNC_PAUSE:
		return PARKING_E_WAIT;
	case ASYNC_FINISH:
		parking->job = NULL;
		return r;
	default: /* all stacks are in use */
		parking->signer->current = NULL;
		return SSL_accept(parking->ssl);
	}
}

int parking_accept(struct parking *parking)
{
	bool is_signed = parking->parked.number != 0 && !parking->job;
	int r;

	if (parking->parked.waits)
		return PARKING_E_WAIT;
	if (!parking->parked.resume || is_signed)
		return SSL_accept(parking->ssl);
	parking->parked.leave = parking_leave;
	parking->signer->current = &parking->parked;
	r = parking_run(parking);
	parking->signer->current = NULL;
	return r;
}

void parking_end(struct parking *parking)
{
	if (!parking->job)
		return;
	signer_forget(&parking->parked);
	parking_run(parking);
}
