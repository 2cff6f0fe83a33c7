/* SPDX-License-Identifier: Apache-2.0 */

/* Streams over a transport that gives and takes as little as it likes, whenever it likes: whatever it
 * does, the answer is that of the whole text, and nothing is left behind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/stream.h"
#include "seed.h"

#define TEXT_MAX 4096

/* One conversation: what the peer says, what it has heard, and its moods. */
static struct peer {
	uint64_t seed;
	const char *says;
	size_t says_len, said;
	char heard[4 * TEXT_MAX];
	size_t heard_len;
	bool stubborn; /* takes nothing */
	bool slow;     /* gives and takes a few bytes at a time, with pauses */
	bool vanishes; /* is gone when it has said all */
	bool stays;    /* says nothing then, not even that it has ended */
	bool our_end, closed;
	bool sees_edges;  /* tells when a read took all there was */
	size_t held_back; /* of what it says, the end, which comes later */
	int fd;
} peer;

static struct loop loop;
static struct scratch scratch;
static struct listener_counters counters;
static struct stream_class class;

/* Pretends that the descriptor has become ready again. */
static void nudge(void)
{
	uint64_t one = 1;

	assert_int_equal(write(peer.fd, &one, sizeof(one)), sizeof(one));
}

static bool pauses(void)
{
	if (!peer.slow || seed_below(&peer.seed, 3) > 0)
		return false;
	nudge();
	return true;
}

static size_t share(size_t n)
{
	return peer.slow && n > 1 ? 1 + seed_below(&peer.seed, n < 9 ? n : 9) : n;
}

static int fake_read(struct transport *transport, void *data, size_t size, size_t *ret_n)
{
	size_t left = peer.says_len - peer.held_back - peer.said, n = left < size ? left : size;

	transport->drained = n < size && peer.sees_edges;
	if (pauses())
		return TRANSPORT_E_WAIT;
	if (left == 0 && (peer.held_back > 0 || peer.stays))
		return TRANSPORT_E_WAIT;
	if (left == 0)
		return peer.vanishes ? TRANSPORT_E_GONE : TRANSPORT_E_END;
	n = share(n);
	memcpy(data, peer.says + peer.said, n);
	peer.said += n;
	*ret_n = n;
	return 0;
}

static int fake_write(struct transport *transport, const void *data, size_t n, size_t *ret_n)
{
	if (peer.stubborn || pauses())
		return TRANSPORT_E_WAIT;
	n = share(n);
	assert_true(peer.heard_len + n <= sizeof(peer.heard));
	memcpy(peer.heard + peer.heard_len, data, n);
	peer.heard_len += n;
	*ret_n = n;
	return 0;
}

static int fake_finish(struct transport *transport)
{
	peer.our_end = true;
	return 0;
}

static void fake_close(struct transport *transport)
{
	peer.closed = true;
	close(transport->fd);
}

static const struct transport_ops fake = {
	.read = fake_read,
	.write = fake_write,
	.finish = fake_finish,
	.close = fake_close,
};

static void stop_when_closed(struct stream_class *all, const struct addr *from, enum reason reason)
{
	loop_stop(all->loop, 0);
}

static void begin(const struct answerer *answerer, const char *says, size_t len,
	const struct stream_timeouts *timeouts)
{
	struct transport transport = {.ops = &fake};
	struct addr nobody = {0};

	peer.says = says;
	peer.says_len = len;
	peer.fd = transport.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(peer.fd >= 0);
	memset(&counters, 0, sizeof(counters));
	assert_int_equal(loop_init(&loop), 0);
	class = (struct stream_class){
		.loop = &loop,
		.scratch = &scratch,
		.name = "test",
		.answerer = *answerer,
		.counters = &counters,
		.on_closed = stop_when_closed,
	};
	stream_class_init(&class, timeouts);
	assert_int_equal(stream_begin(&class, &transport, &nobody, loop.now_ms), 0);
}

/* Until it has ended, and why. */
static enum reason finish(void)
{
	assert_int_equal(loop_run(&loop), 0);
	assert_true(peer.closed);
	assert_true(list_is_empty(&class.streams));
	stream_class_done(&class);
	loop_done(&loop);

	assert_int_equal(counters.counted[COUNT_closed], 1);
	for (int reason = 0; reason < N_REASONS; reason++)
		if (counters.reasons[reason] > 0)
			return reason;
	return N_REASONS;
}

/* Holds one conversation to its end. */
static enum reason converse(const struct answerer *answerer, const char *says, size_t len,
	const struct stream_timeouts *timeouts)
{
	begin(answerer, says, len, timeouts);
	return finish();
}

static const struct stream_timeouts patient = {60000, 60000, 60000};
static const struct stream_timeouts hasty = {20, 20, 20};
static const struct stream_timeouts quick = {500, 500, 500};

static struct answerer plain = {
	.rule = {UPPER_UTF8, UPPER_KEEP},
	.frame = {UPPER_STREAM, 0},
};

static void test_whole(void **state)
{
	peer = (struct peer){0};
	assert_int_equal(converse(&plain, "straße", 7, &patient), REASON_done);
	assert_string_equal(peer.heard, "STRASSE");
	assert_true(peer.our_end);
}

static void test_vanishing_is_a_reset(void **state)
{
	peer = (struct peer){.vanishes = true};
	assert_int_equal(converse(&plain, "hello", 5, &patient), REASON_reset);
	assert_string_equal(peer.heard, "HELLO");
}

static void test_stubborn_meets_the_write_deadline(void **state)
{
	peer = (struct peer){.stubborn = true};
	assert_int_equal(converse(&plain, "hello", 5, &hasty), REASON_write);
	assert_false(peer.our_end);
}

static void test_oneshot(void **state)
{
	struct answerer answerer = plain;

	answerer.frame.framing = UPPER_ONESHOT;
	peer = (struct peer){0};
	assert_int_equal(converse(&answerer, "hello", 5, &patient), REASON_done);
	assert_string_equal(peer.heard, "HELLO");
	assert_true(peer.our_end);
}

static void test_long_line(void **state)
{
	struct answerer answerer = plain;

	answerer.frame = (struct upper_frame){UPPER_LINE, 4};
	peer = (struct peer){.slow = true, .seed = seed_new("long line")};
	assert_int_equal(converse(&answerer, "one\nfives\n", 10, &patient), REASON_line);
	assert_string_equal(peer.heard, "ONE\n");
	assert_true(peer.our_end);
}

static void test_invalid_is_rejected_after_what_came_before(void **state)
{
	struct answerer answerer = plain;

	answerer.rule.invalid = UPPER_REJECT;
	peer = (struct peer){0};
	assert_int_equal(converse(&answerer,
				 "good\xff"
				 "bad",
				 8, &patient),
		REASON_invalid);
	assert_string_equal(peer.heard, "GOOD");
}

static size_t random_text(uint64_t *seed, char text[static TEXT_MAX])
{
	static const char *const pieces[] = {
		"a",
		"Z",
		" ",
		"\n",
		"ß",
		"ŉ",
		"ΐ",
		"ﬃ",
		"я",
		"你",
		"😀",
		"\xff",
		"\xe1\x80",
		"hello",
	};
	size_t len = 0, pick;

	while (len + 8 < TEXT_MAX && seed_below(seed, 400) > 0) {
		pick = seed_below(seed, sizeof(pieces) / sizeof(pieces[0]));
		memcpy(text + len, pieces[pick], strlen(pieces[pick]));
		len += strlen(pieces[pick]);
	}
	return len;
}

/* Small buffers make every short room and every leftover happen. */
static void test_any_rhythm_gives_the_same_bytes(void **state)
{
	static const enum upper_framing framings[] = {UPPER_STREAM, UPPER_LINE};
	uint64_t seed = seed_new("any rhythm");
	char text[TEXT_MAX];
	uint8_t whole[4 * TEXT_MAX];

	for (int i = 0; i < 300; i++) {
		size_t len = random_text(&seed, text);
		struct upper_in in = {(uint8_t *)text, (uint8_t *)text + len};
		struct upper_out out = {whole, whole + sizeof(whole)};
		struct answerer answerer = plain;

		assert_int_equal(upper_convert(&answerer.rule, true, &in, &out), 0);
		answerer.frame = (struct upper_frame){framings[i % 2], TEXT_MAX};
		scratch.out_size = UPPER_LONGEST + seed_below(&seed, 64);
		peer = (struct peer){.slow = true, .seed = seed};
		assert_int_equal(converse(&answerer, text, len, &patient), REASON_done);
		assert_int_equal(peer.heard_len, (size_t)(out.at - whole));
		assert_memory_equal(peer.heard, whole, peer.heard_len);
	}
}

/* The moments of a jam: the rest comes while nothing goes out, and then all goes out. */
static void on_rest_comes(struct timer *timer, uint64_t now_ms)
{
	peer.held_back = 0;
	nudge();
}

static void on_jam_ends(struct timer *timer, uint64_t now_ms)
{
	peer.stubborn = false;
	nudge();
}

/* The end of input has an event of its own, which must not be what wakes the rest. */
static size_t heard_before_the_end;

static void on_end_comes(struct timer *timer, uint64_t now_ms)
{
	heard_before_the_end = peer.heard_len;
	nudge();
}

/* The second piece comes while the connection is still quiet from the first. */
static void test_oneshot_ends_when_it_is_quiet(void **state)
{
	struct timer rest_comes = {.on_time = on_rest_comes};
	struct answerer answerer = plain;
	uint64_t begun_ms;

	answerer.frame.framing = UPPER_ONESHOT;
	peer = (struct peer){.sees_edges = true, .held_back = 4, .stays = true};
	begin(&answerer,
		"stra\xc3\x9f"
		"e",
		7, &patient);
	begun_ms = loop.now_ms;
	loop_set_timer(&loop, &rest_comes, loop.now_ms + 50);
	assert_int_equal(finish(), REASON_done);
	assert_memory_equal(peer.heard, "STRASSE", 7);
	assert_int_equal(peer.heard_len, 7);
	assert_true(peer.our_end);
	assert_true(loop.now_ms - begun_ms >= 150);
}

static void test_what_came_in_a_jam_is_read_when_it_ends(void **state)
{
	struct timer rest_comes = {.on_time = on_rest_comes}, jam_ends = {.on_time = on_jam_ends};
	struct timer end_comes = {.on_time = on_end_comes};
	char text[128];

	memset(text, 'a', sizeof(text));
	scratch.out_size = 16;
	peer = (struct peer){.stubborn = true, .sees_edges = true, .held_back = 64};
	begin(&plain, text, sizeof(text), &quick);
	loop_set_timer(&loop, &rest_comes, loop.now_ms + 20);
	loop_set_timer(&loop, &jam_ends, loop.now_ms + 40);
	loop_set_timer(&loop, &end_comes, loop.now_ms + 80);
	assert_int_equal(finish(), REASON_done);
	assert_int_equal(heard_before_the_end, sizeof(text));
}

static int set_up(void **state)
{
	plain.service = services[SERVICE_uppercase];
	return scratch_init(&scratch, TEXT_MAX);
}

static int tear_down(void **state)
{
	scratch_done(&scratch);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_vanishing_is_a_reset),
		cmocka_unit_test(test_stubborn_meets_the_write_deadline),
		cmocka_unit_test(test_oneshot),
		cmocka_unit_test(test_oneshot_ends_when_it_is_quiet),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_invalid_is_rejected_after_what_came_before),
		cmocka_unit_test(test_any_rhythm_gives_the_same_bytes),
		cmocka_unit_test(test_what_came_in_a_jam_is_read_when_it_ends),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
