/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection from the inside, for the two files that share it: stream.c moves bytes, and
 * stream_class.c is where connections come from, are waited for, and are told of when they end. */

#include "net/stream.h"
#include "net/trickle.h"

enum stage {
	STAGE_HANDSHAKE,
	STAGE_TALK,   /* reading and answering */
	STAGE_FINISH, /* nothing more is read; what is kept is still to be sent */
	STAGE_LINGER, /* all is said; what still comes is thrown away, lest it reset our answer */
	STAGE_CLOSED, /* waits for the loop to reap it */
};

/* Small: there may be many, and nearly all of them idle. */
struct stream {
	struct source source;
	struct transport transport;
	struct stream_class *class;
	struct list node;
	struct deadline deadline;   /* in the one queue that fits the stage */
	struct handshake handshake; /* while the stage is that */
	struct task task;
	struct buf rest; /* of the input: it waits for its end, or for room */
	struct buf out;  /* answers that the peer has not taken */
	uint64_t bytes_in, bytes_out, opened_ms;
	uint64_t taken_ms,
		progress; /* when the peer last took something, and transport_progress() then */
	struct trickle trickle;
	struct sockaddr_in6 peer; /* or IPv4, or the family alone */
	enum stage stage : 8;
	enum reason reason : 8;
	bool ended : 1; /* the peer has said that no more will follow */
	bool quiet : 1; /* it has been answered, and has said nothing for a while: a oneshot is over */
	bool blocked : 1; /* the rest waits for room, not for input */
	bool resets : 1;  /* a close would cut an answer, and the kernel knows */
	/* An end is already behind what is to be read, so no event will tell of it; or an urgent byte has
	 * been, at which the kernel ends a read, whatever is behind it. */
	bool hangup : 1;
};

/* Ends it now; the first reason given stays. */
void stream_close(struct stream *s, enum reason reason);
/* stream.c: whatever can be done without waiting. */
void stream_pump_task(struct task *task);
void stream_on_event(struct source *source, uint32_t events);
/* A oneshot has been quiet for long enough. */
void stream_hang_up(struct stream *s);
/* Whether the peer has taken something within the write time-out. */
bool stream_is_taken(struct stream *s);
/* stream_class.c */
struct addr stream_peer(const struct stream *s);
void stream_record_end(const struct stream *s);
