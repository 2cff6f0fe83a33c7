/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <upper/upper.h>

#include "base/cleanup.h"
#include "client/question.h"
#include "client/report.h"

int expect_upper(struct expect *expect, const void *text, size_t len)
{
	static const struct upper_rule rule = {.charset = UPPER_UTF8, .invalid = UPPER_KEEP};
	struct upper_in in = {text, (const uint8_t *)text + len};
	struct upper_out out;
	uint8_t *room;

	room = malloc(UPPER_EXPANSION * len + 1);
	if (!room)
		return -ENOMEM;
	out = (struct upper_out){room, room + UPPER_EXPANSION * len};
	upper_convert(&rule, true, &in, &out);

	*expect = (struct expect){room, (size_t)(out.at - room)};
	return 0;
}

void expect_done(struct expect *expect)
{
	free(expect->text);
	*expect = (struct expect){0};
}

bool expect_is(const struct expect *expect, const void *answer, size_t len)
{
	return expect->text && len == expect->len && memcmp(answer, expect->text, len) == 0;
}

/* A tag is written and read for every message, so both take eight letters at a time: each byte of a word has
 * four bits of the number, the first letter the highest. */
#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* From and to the order of the bytes on the wire. */
static uint64_t big_endian(uint64_t x)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? x : __builtin_bswap64(x);
}

/* False when one of them is no letter of a tag. Both cases are: a server may send a question back as it came. */
static bool read_letters(const uint8_t letters[static 8], uint64_t *ret_bits)
{
	uint64_t x;

	memcpy(&x, letters, sizeof(x));
	/* From 1 for an "a" to 16; a byte that was 0 leaves its high bits set, and takes from no other that
	 * would then look right. */
	x = ((big_endian(x) | EACH_BYTE(0x20)) ^ EACH_BYTE(0x60)) - EACH_BYTE(1);
	if (x & EACH_BYTE(0xf0))
		return false;
	x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
	*ret_bits = (x | x >> 16) & UINT32_MAX;
	return true;
}

static uint64_t letters_of(uint64_t bits, char first)
{
	bits = (bits | bits << 16) & UINT64_C(0x0000ffff0000ffff);
	bits = (bits | bits << 8) & UINT64_C(0x00ff00ff00ff00ff);
	bits = (bits | bits << 4) & EACH_BYTE(0x0f);
	return big_endian(bits + EACH_BYTE((uint64_t)first));
}

uint64_t question_number(const uint8_t *answer, size_t len)
{
	uint64_t high, low;

	if (len < QUESTION_TAG || !read_letters(answer, &high) || !read_letters(answer + 8, &low))
		return UINT64_MAX;
	return high << 32 | low;
}

static void write_tag(uint8_t tag[static QUESTION_TAG], uint64_t number, char first)
{
	const uint64_t words[] = {
		letters_of(number >> 32, first), letters_of(number & UINT32_MAX, first)};

	memcpy(tag, words, QUESTION_TAG);
}

/* Running text of each kind. */
static const struct {
	const char *name, *text;
} languages[] = {
	{"latin",
		"Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich; "
		"voix ambiguë d’un cœur qui préfère les jattes de kiwis; "},
	{"greek",
		"Ξεσκεπάζω την ψυχοφθόρα βδελυγμία· τάχιστη αλώπηξ βαφής ψημένη γη, "
		"δρασκελίζει υπέρ νωθρού κυνός; "},
	{"cjk",
		"いろはにほへと ちりぬるを。天地玄黃,宇宙洪荒。키스의 고유조건은 입술끼리 만나야 "
		"하고. "},
};

static const char *language(const char *name)
{
	for (size_t i = 0; i < sizeof(languages) / sizeof(*languages); i++)
		if (strcmp(languages[i].name, name) == 0)
			return languages[i].text;
	return NULL;
}

static bool is_inside_character(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Takes over `body`, which ends with a line end. */
static int add_text(struct texts *texts, uint8_t *body, size_t len)
{
	_cleanup_expect_ struct expect question = {body, len};
	struct text *all = realloc(texts->all, (texts->n + 1) * sizeof(*all));
	struct text *text;
	int r;

	if (!all)
		return -ENOMEM;
	texts->all = all;
	text = &all[texts->n];
	*text = (struct text){0};
	r = expect_upper(&text->answer, body, len);
	if (r)
		return r;
	text->question.text = take_ptr(&question.text);
	text->question.len = len;
	texts->n++;
	if (QUESTION_TAG + text->answer.len > texts->longest)
		texts->longest = QUESTION_TAG + text->answer.len;
	if (QUESTION_TAG + len > texts->longest)
		texts->longest = QUESTION_TAG + len;
	return 0;
}

/* A body of `size` bytes from the `len` bytes of `from`, over and over. It ends with a whole character and a
 * line end; other line ends are blanks, and bytes that no character fits into are ASCII letters. */
static int add_piece(struct texts *texts, const uint8_t *from, size_t len, size_t size)
{
	uint8_t *body = malloc(size);
	size_t cut = size - 1;

	if (!body)
		return -ENOMEM;
	for (size_t i = 0; i < cut; i++)
		body[i] = from[i % len] == '\n' || from[i % len] == '\r' ? ' ' : from[i % len];
	while (cut && is_inside_character(from[cut % len]))
		cut--;
	memset(body + cut, 'x', size - 1 - cut);
	body[size - 1] = '\n';
	return add_text(texts, body, size);
}

#define TEXT_FILE_MAX (1 << 20)

static int add_file(struct texts *texts, const char *name, size_t size, struct why *why)
{
	_cleanup_fclose_ FILE *file = fopen(name, "re");
	_cleanup_free_ uint8_t *data = malloc(TEXT_FILE_MAX);
	size_t len, at = 0;
	int r;

	if (!data)
		return -ENOMEM;
	if (!file)
		return why_set(why, CLIENT_E_USAGE, "--text %s: %s", name, strerror(errno));
	len = fread(data, 1, TEXT_FILE_MAX, file);
	if (ferror(file) || !len)
		return why_set(why, CLIENT_E_USAGE, "--text %s: %s", name,
			ferror(file) ? strerror(errno) : "the file is empty");
	do {
		while (at < len && is_inside_character(data[at]))
			at++;
		r = at < len || !texts->n
			? add_piece(texts, data + at, len > at ? len - at : 1, size)
			: 0;
		at += size;
	} while (!r && at < len && texts->n < 1024);
	return r;
}

int texts_init(struct texts *texts, const char *name, size_t size, struct why *why)
{
	size_t len = size - QUESTION_TAG;
	const char *known = name ? language(name) : "abcdefghijklmnopqrstuvwxyz";

	*texts = (struct texts){0};
	if (!known)
		return add_file(texts, name, len, why);
	return add_piece(texts, (const uint8_t *)known, strlen(known), len);
}

void texts_done(struct texts *texts)
{
	for (size_t i = 0; i < texts->n; i++) {
		expect_done(&texts->all[i].question);
		expect_done(&texts->all[i].answer);
	}
	free(texts->all);
	*texts = (struct texts){0};
}

static const struct text *text_for(const struct texts *texts, uint64_t number)
{
	return &texts->all[texts->n == 1 ? 0 : number % texts->n];
}

size_t texts_write(const struct texts *texts, uint64_t number, uint8_t *room)
{
	const struct expect *body = &text_for(texts, number)->question;

	write_tag(room, number, 'a');
	memcpy(room + QUESTION_TAG, body->text, body->len);
	return QUESTION_TAG + body->len;
}

size_t texts_question_len(const struct texts *texts, uint64_t number)
{
	return QUESTION_TAG + text_for(texts, number)->question.len;
}

size_t texts_answer_len(const struct texts *texts, uint64_t number)
{
	return QUESTION_TAG + text_for(texts, number)->answer.len;
}

static bool is_tagged(
	const struct expect *body, uint64_t number, char first, const uint8_t *answer, size_t len)
{
	uint8_t tag[QUESTION_TAG];

	write_tag(tag, number, first);
	return len == QUESTION_TAG + body->len && memcmp(answer, tag, QUESTION_TAG) == 0 &&
		memcmp(answer + QUESTION_TAG, body->text, body->len) == 0;
}

bool texts_is_right(const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len)
{
	return is_tagged(&text_for(texts, number)->answer, number, 'A', answer, len);
}

bool texts_is_unchanged(
	const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len)
{
	return is_tagged(&text_for(texts, number)->question, number, 'a', answer, len);
}

size_t texts_distance(const struct texts *texts, uint64_t number, const uint8_t *answer, size_t len)
{
	const struct expect *body = &text_for(texts, number)->answer;
	size_t whole = QUESTION_TAG + body->len, distance = len > whole ? len - whole : whole - len;
	uint8_t tag[QUESTION_TAG];

	write_tag(tag, number, 'A');
	for (size_t i = 0; i < len && i < whole; i++)
		distance += answer[i] != (i < QUESTION_TAG ? tag[i] : body->text[i - QUESTION_TAG]);
	return distance;
}
