/* SPDX-License-Identifier: Apache-2.0 */

/* The policies against a copy of them, made by hand: a line that is added to one of them is to be seen,
 * and wanted, here too. With --table it prints the table of SECURITY.md. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "priv/policy.h"

/* What the sandbox of OpenSSH allows on this system; a worker is not to need more. */
#define MOST_CALLS 33

/* 64-bit ARM has none of the calls that others came after. */
#ifdef SYS_epoll_wait
#define EPOLL_WAIT "epoll_wait"
#else
#define EPOLL_WAIT "epoll_pwait"
#endif
#ifdef SYS_poll
#define POLL "poll"
#else
#define POLL "ppoll"
#endif

#define COMMON                                                                                    \
	EPOLL_WAIT, "epoll_ctl", "timerfd_settime", "recvmsg", "sendto", "write", "close", "brk", \
		"mmap arg2&4=0", "munmap", "mremap", "madvise", "futex", "clock_gettime",         \
		"getrandom", "restart_syscall", "rt_sigprocmask", "getpid", "gettid",             \
		"tgkill arg0=self", "writev", "exit_group"

/* Calls in the order of the table. */
static const struct {
	const char *role;
	const char *const *calls;
} frozen[] = {
	{"worker",
		(const char *const[]){COMMON, "accept4", "recvfrom", "shutdown arg1&ffffffff=1",
			"recvmmsg", "sendmmsg arg0=fixed", POLL, "getsockopt arg2&ffffffff=b",
			"getsockopt arg2&ffffffff=37", "setsockopt arg2&ffffffff=d",
			"fcntl arg1&ffffffff=406", NULL}},
	{"keeper", (const char *const[]){COMMON, NULL}},
	{"exporter",
		(const char *const[]){
			COMMON, "accept4", "recvfrom", "shutdown arg1&ffffffff=1", NULL}},
};

static void describe(const struct policy_call *call, char text[static 64])
{
	if (call->mask == 0)
		snprintf(text, 64, "%s", call->name);
	else if (call->value == POLICY_SELF)
		snprintf(text, 64, "%s arg%u=self", call->name, call->argument);
	else if (call->value == POLICY_FIXED_FD)
		snprintf(text, 64, "%s arg%u=fixed", call->name, call->argument);
	else
		snprintf(text, 64, "%s arg%u&%llx=%llx", call->name, call->argument,
			(unsigned long long)call->mask, (unsigned long long)call->value);
}

/* The lists of a role one after the other, without what a sanitizer adds. */
static size_t collect(const struct policy *policy, const struct policy_call **calls, size_t room)
{
	size_t n = 0;

	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++) {
			assert_true(n < room);
			if (strcmp(call->why, "AddressSanitizer") != 0)
				calls[n++] = call;
		}
	return n;
}

static void test_lists_are_as_agreed(void **state)
{
	const struct policy_call *calls[256];

	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++) {
		const struct policy *policy = policy_find(frozen[i].role);
		size_t n = collect(policy, calls, 256);

		for (size_t c = 0; c < n; c++) {
			char text[64];

			describe(calls[c], text);
			assert_non_null(frozen[i].calls[c]);
			assert_string_equal(text, frozen[i].calls[c]);
		}
		assert_null(frozen[i].calls[n]);
	}
}

static void test_every_child_is_among_the_frozen(void **state)
{
	assert_int_equal(n_policies, sizeof(frozen) / sizeof(frozen[0]) + 1);
	assert_null(policy_find("nobody"));
}

/* A call that is listed for several arguments counts once. */
static size_t count_names(const struct policy_call **calls, size_t n)
{
	size_t names = 0;

	for (size_t i = 0; i < n; i++) {
		size_t first = 0;

		while (strcmp(calls[first]->name, calls[i]->name) != 0)
			first++;
		names += first == i;
	}
	return names;
}

static void test_worker_needs_few_calls(void **state)
{
	const struct policy_call *calls[256];
	const struct policy *worker = policy_find("worker");

	printf("# a worker may make %zu calls, of at most %d\n", collect(worker, calls, 256),
		MOST_CALLS);
	assert_in_range(count_names(calls, collect(worker, calls, 256)), 20, MOST_CALLS);
}

static void test_no_child_may_attack(void **state)
{
	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++)
		for (const struct policy_call *call = policy_attacks; call->name; call++)
			assert_false(policy_contradicts(policy_find(frozen[i].role), call));
}

/* Of the attacks, to start its children is the supervisor's trade. */
static void test_supervisor_attacks_only_by_executing(void **state)
{
	for (const struct policy_call *call = policy_attacks; call->name; call++)
		assert_int_equal(policy_contradicts(policy_find("supervisor"), call),
			strcmp(call->name, "execve") == 0);
}

static bool is_same(const struct policy_call *a, const struct policy_call *b)
{
	return strcmp(a->name, b->name) == 0 && a->argument == b->argument && a->mask == b->mask &&
		a->value == b->value;
}

static bool allows(const struct policy *policy, const struct policy_call *wanted)
{
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (is_same(call, wanted))
				return true;
	return policy_has_all_of(policy, wanted->name);
}

/* Children inherit its filter: what it may not do, they may not. */
static void test_supervisor_may_what_children_may(void **state)
{
	const struct policy *supervisor = policy_find("supervisor");

	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++) {
		const struct policy *policy = policy_find(frozen[i].role);
		const struct policy_call *calls[256];
		size_t n = collect(policy, calls, 256);

		for (size_t c = 0; c < n; c++)
			assert_true(allows(supervisor, calls[c]));
	}
}

static void test_children_keep_nothing(void **state)
{
	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++) {
		const struct policy *policy = policy_find(frozen[i].role);

		assert_int_equal(policy->n_capabilities, 0);
		assert_int_equal(policy->n_limits, 3);
		assert_int_equal(policy->layers, (1U << N_LAYERS) - 1);
	}
}

/* "worker, exporter" */
static void print_roles(const struct policy_call *call)
{
	const struct policy_call *calls[256];
	const char *between = "";

	for (size_t i = 0; i < n_policies; i++) {
		size_t n = collect(&policies[i], calls, 256), c = 0;

		while (c < n && !is_same(calls[c], call))
			c++;
		if (c == n)
			continue;
		printf("%s%s", between, policies[i].role);
		between = ", ";
	}
}

static void print_row(const struct policy_call *call)
{
	printf("| `%s`", call->name);
	if (call->value == POLICY_SELF)
		printf(" with argument %u = its own process", call->argument);
	else if (call->value == POLICY_FIXED_FD)
		printf(" with argument %u = a socket for datagrams", call->argument);
	else if (call->mask == UINT32_MAX)
		printf(" with argument %u = %llu", call->argument, (unsigned long long)call->value);
	else if (call->mask != 0)
		printf(" without bits 0x%llx of argument %u", (unsigned long long)call->mask,
			call->argument);
	printf(" | ");
	print_roles(call);
	printf(" | %s |\n", call->why);
}

static int print_table(void)
{
	const struct policy_call *calls[256];
	size_t n = 0;

	printf("| call | roles | what for |\n| --- | --- | --- |\n");
	for (size_t i = 0; i < n_policies; i++) {
		size_t more = collect(&policies[i], calls + n, 256 - n);

		for (size_t c = n; c < n + more; c++) {
			size_t seen = 0;

			while (!is_same(calls[seen], calls[c]))
				seen++;
			if (seen == c)
				print_row(calls[c]);
		}
		n += more;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists_are_as_agreed),
		cmocka_unit_test(test_every_child_is_among_the_frozen),
		cmocka_unit_test(test_worker_needs_few_calls),
		cmocka_unit_test(test_no_child_may_attack),
		cmocka_unit_test(test_supervisor_attacks_only_by_executing),
		cmocka_unit_test(test_supervisor_may_what_children_may),
		cmocka_unit_test(test_children_keep_nothing),
	};

	if (argc > 1 && strcmp(argv[1], "--table") == 0)
		return print_table();
	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
