/* SPDX-License-Identifier: Apache-2.0 */

/* The policy of a role is a row of the last table: its layers, the capabilities that it keeps, its resource limits,
 * and the lists of its system calls. A call that is on none of its lists cannot be made:
 *
 *	on a list          allowed; where the line has an argument, with that argument alone
 *	policy_refused     EPERM: libraries try these, and handle it
 *	policy_attacks     the process is killed: no honest code of ours makes them
 *	all others         ENOSYS, as on an older kernel; with sandbox = "strict" the process is killed
 *
 * A line of the lists says why the call is there. To add one is a line here, one in tests/unit/test-policy.c, which
 * holds a copy of the children's lists, and one in the table of SECURITY.md: three places on purpose, so that a
 * reviewer sees it.
 *
 * A child inherits the filter of the supervisor over its exec, and can only narrow it. The supervisor's lists
 * therefore hold those of all children, and what a child needs until it is in its own sandbox. A unit test
 * shows that no list contradicts the calls that are stopped. */

#include "priv/policy.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "config.h"

// clang-format off
#define ANY(name, why)                     {name, why}
#define ONLY(name, why, argument, value)   {name, why, argument, UINT32_MAX, value}
#define WITHOUT(name, why, argument, bits) {name, why, argument, bits, 0}
#define WITH(name, why, argument, bits)    {name, why, argument, bits, bits}
#define FIXED(name, why, argument)         {name, why, argument, UINT32_MAX, POLICY_FIXED_FD}
#define END                                {0}

/* Known to later kernels and C libraries, and perhaps not to these headers. */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME)

/* Every child: its loop, its channel, its memory, the time, and how to end. */
static const struct policy_call common[] = {
#ifdef SYS_epoll_wait
	ANY("epoll_wait",      "the loop"),
#else
	ANY("epoll_pwait",     "the loop"),
#endif
	ANY("epoll_ctl",       "the loop"),
	ANY("timerfd_settime", "the loop"),
	ANY("recvmsg",         "the channel"),
	ANY("sendto",          "the channel; an answer"),
	ANY("write",           "last words on stderr"),
	ANY("close",           "a peer that is gone"),
	ANY("brk",             "memory"),
	WITHOUT("mmap",        "memory, never executable", 2, PROT_EXEC),
	ANY("munmap",          "memory"),
	ANY("mremap",          "memory"),
	ANY("madvise",         "memory"),
	ANY("futex",           "locks inside of libraries"),
	ANY("clock_gettime",   "the time, where the kernel has no faster way"),
	ANY("getrandom",       "random numbers"),
	ANY("restart_syscall", "a wait goes on after SIGSTOP and SIGCONT"),
	ANY("rt_sigprocmask",  "abort()"),
	ANY("getpid",          "abort()"),
	ANY("gettid",          "abort()"),
	ONLY("tgkill",         "abort()", 0, POLICY_SELF),
	ANY("writev",          "a datagram for another worker; last words of the C library"),
	ANY("exit_group",      "the end"),
	END
};

static const struct policy_call worker_calls[] = {
	ANY("accept4",         "a connection"),
	ANY("recvfrom",        "a connection"),
	ONLY("shutdown",       "a connection's last byte", 1, SHUT_WR),
	ANY("recvmmsg",        "datagrams"),
	FIXED("sendmmsg",      "datagrams, and no descriptor over a connection", 0),
#ifdef SYS_poll
	ANY("poll",            "an answer of the keeper"),
#else
	ANY("ppoll",           "an answer of the keeper"),
#endif
	ONLY("getsockopt",     "what a slow peer has taken", 2, TCP_INFO),
	ONLY("getsockopt",     "what a slow peer has taken", 2, SO_MEMINFO),
	ONLY("setsockopt",     "a reset for an answer that is cut", 2, SO_LINGER),
	ONLY("fcntl",          "the descriptor held in reserve", 1, F_DUPFD_CLOEXEC),
	END
};

static const struct policy_call exporter_calls[] = {
	ANY("accept4",         "a connection"),
	ANY("recvfrom",        "a connection"),
	ONLY("shutdown",       "a connection's last byte", 1, SHUT_WR),
	END
};

/* AddressSanitizer wants these of every process; a build without it does not have the list. */
static const struct policy_call sanitizer_calls[] = {
#if WITH_ASAN
	ANY("sigaltstack",     "AddressSanitizer"),
	ANY("rt_sigaction",    "AddressSanitizer"),
	ANY("rt_sigreturn",    "AddressSanitizer"),
	ANY("sched_yield",     "AddressSanitizer"),
	ANY("read",            "AddressSanitizer"),
	ANY("readlink",        "AddressSanitizer"),
	WITHOUT("mprotect",    "AddressSanitizer", 2, PROT_EXEC),
#endif
	END
};

/* The supervisor: what it does itself. */
static const struct policy_call supervisor_calls[] = {
	ANY("sendmsg",         "the channels of children"),
	ANY("sendmmsg",        "what workers may, whose limits are their own"),
	ONLY("socket",         "listeners, logs", 0, AF_UNIX),
	ONLY("socket",         "listeners", 0, AF_INET),
	ONLY("socket",         "listeners", 0, AF_INET6),
	ONLY("socketpair",     "the channels of children", 0, AF_UNIX),
	ANY("bind",            "listeners"),
	ANY("listen",          "listeners"),
	ANY("connect",         "logs, the service manager"),
	ANY("getsockopt",      "who asks at the control socket"),
	ANY("setsockopt",      "listeners"),
	ANY("getsockname",     "listeners"),
	ANY("getpeername",     "logs"),
	ANY("umask",           "listeners that are files"),
	ANY("chmod",           "listeners that are files"),
	ANY("fchmod",          "listeners that are files"),
	ANY("fchmodat",        "listeners that are files"),
	ANY("chown",           "listeners that are files"),
	ANY("fchownat",        "listeners that are files"),
	ANY("unlink",          "listeners that are files"),
	ANY("unlinkat",        "listeners that are files"),
	ANY("mkdir",           "the folder of the control socket"),
	ANY("mkdirat",         "the folder of the control socket"),

	ANY("open",            "files that the configuration names"),
	ANY("openat",          "files that the configuration names"),
	ANY("access",          "files that the configuration names"),
	ANY("faccessat",       "files that the configuration names"),
	ANY("faccessat2",      "files that the configuration names"),
	ANY("stat",            "files that the configuration names"),
	ANY("lstat",           "files that the configuration names"),
	ANY("fstat",           "files that the configuration names"),
	ANY("newfstatat",      "files that the configuration names"),
	ANY("statx",           "files that the configuration names"),
	ANY("fstatfs",         "files that the configuration names"),
	ANY("readlink",        "files that the configuration names"),
	ANY("readlinkat",      "files that the configuration names"),
	ANY("getdents64",      "folders that a configuration includes"),
	ANY("lseek",           "files that the configuration names"),
	ANY("pread64",         "files that the configuration names"),
	ANY("read",            "files that the configuration names; signals; last words"),
	ANY("readv",           "files that the configuration names"),
	ANY("fcntl",           "descriptors of children; seals"),
	ONLY("ioctl",          "whether stderr is a terminal", 1, TCGETS),
	ONLY("ioctl",          "an address with the name of an interface", 1, SIOCGIFINDEX),
	ANY("inotify_init1",   "files that are watched"),
	ANY("inotify_add_watch", "files that are watched"),
	ANY("inotify_rm_watch", "files that are watched"),

	ANY("memfd_secret",    "keys of tickets"),
	ANY("memfd_create",    "the configuration, files and counters of children"),
	ANY("sendfile",        "copies of files that the configuration names"),
	ANY("ftruncate",       "counters"),
	ANY("mprotect",        "children are loaded"),
	ANY("mmap",            "children are loaded"),
	ANY("epoll_create1",   "its loop, and those of children"),
	ANY("signalfd4",       "signals"),
	ANY("timerfd_create",  "time"),
	ANY("eventfd2",        "its loop"),
	ANY("poll",            "whether the log can be written"),
	ANY("ppoll",           "whether the log can be written"),
	ANY("pipe2",           "the last words of children"),
	ANY("dup",             "descriptors of children"),
	ANY("dup2",            "descriptors of children"),
	ANY("dup3",            "descriptors of children"),
	ANY("close_range",     "descriptors of children"),
	WITHOUT("clone",       "children, never a namespace", 0, NAMESPACES),
	ANY("vfork",           "children"),
	ANY("execve",          "children, and the new binary of an upgrade"),
	ANY("wait4",           "children"),
	ANY("waitid",          "children"),
	ANY("kill",            "children"),
	ANY("pidfd_open",      "children"),
	ANY("pidfd_send_signal", "children"),

	ANY("rt_sigaction",    "signals"),
	ANY("rt_sigreturn",    "signals"),
	ANY("sigaltstack",     "signals"),
	ANY("gettimeofday",    "the time, where the kernel has no faster way"),
	ANY("time",            "the time, where the kernel has no faster way"),
	ANY("clock_nanosleep", "libraries that wait for a service"),
	ANY("sched_getaffinity", "how many workers"),
	ANY("sched_yield",     "libraries"),
	ANY("uname",           "libraries"),
	ANY("sysinfo",         "libraries"),
	ANY("getcwd",          "files that the configuration names"),
	ANY("getppid",         "who it is"),
	ANY("getuid",          "who it is"),
	ANY("geteuid",         "who it is"),
	ANY("getgid",          "who it is"),
	ANY("getegid",         "who it is"),
	ANY("getrlimit",       "how many connections"),
	ANY("prlimit64",       "how many connections; limits of children"),
	END
};

/* A child, until it is in its own sandbox. */
static const struct policy_call starting_calls[] = {
#ifdef SYS_arch_prctl
	ANY("arch_prctl",      "children are loaded"),
#endif
	ANY("tgkill",          "abort(), of children too"),
	ONLY("prctl",          "what ps shows", 0, PR_SET_NAME),
	ANY("set_tid_address", "children are loaded"),
	ANY("set_robust_list", "children are loaded"),
	ANY("rseq",            "children are loaded"),
	ANY("mlock",           "keys that are not to be swapped out"),
	ANY("mlock2",          "keys that are not to be swapped out"),
	ANY("mkdirat",         "the empty root"),
	ANY("rmdir",           "the empty root"),
	ANY("fchdir",          "the empty root"),
	ANY("chdir",           "the empty root"),
	ANY("chroot",          "the empty root"),
	ANY("getresuid",       "the user of a child"),
	ANY("setgroups",       "the user of a child"),
	ANY("setresgid",       "the user of a child"),
	ANY("setresuid",       "the user of a child"),
	ANY("capget",          "what it gives up"),
	ANY("capset",          "what it gives up"),
	ONLY("prctl",          "what it gives up", 0, PR_SET_NO_NEW_PRIVS),
	ONLY("prctl",          "what it gives up", 0, PR_GET_NO_NEW_PRIVS),
	ONLY("prctl",          "what it gives up", 0, SANDBOX_SET_MDWE),
	ONLY("prctl",          "what it gives up", 0, SANDBOX_GET_MDWE),
	ONLY("prctl",          "what it gives up", 0, PR_CAPBSET_READ),
	ONLY("prctl",          "what it gives up", 0, PR_CAPBSET_DROP),
	ONLY("prctl",          "what it gives up", 0, PR_CAP_AMBIENT),
	ONLY("prctl",          "what it gives up", 0, PR_GET_SECUREBITS),
	ONLY("prctl",          "what it gives up", 0, PR_SET_DUMPABLE),
	ONLY("prctl",          "what it gives up", 0, PR_GET_DUMPABLE),
	ONLY("prctl",          "what it gives up", 0, PR_GET_SECCOMP),
	ANY("landlock_create_ruleset", "its landlock"),
	ANY("landlock_restrict_self", "its landlock"),
	ANY("seccomp",         "its seccomp"),
	END
};

/* Calls that a library may try, and that get EPERM, which libraries handle. */
const struct policy_call policy_refused[] = {
	ANY("open",            "a file"),
	ANY("openat",          "a file"),
	ANY("socket",          "a socket"),
	ANY("connect",         "a peer of its own choice"),
	ANY("bind",            "a port of its own choice"),
	ANY("kill",            "a signal to another"),
	ANY("tkill",           "a signal to another"),
	ANY("clone",           "a process"),
	ANY("fork",            "a process"),
	ANY("vfork",           "a process"),
	WITH("mmap",           "code", 2, PROT_EXEC),
	WITH("mprotect",       "code", 2, PROT_EXEC),
	END
};

/* Calls of no use to any role, and of use to an attacker. */
const struct policy_call policy_attacks[] = {
	ANY("execve",            "another program"),
	ANY("execveat",          "another program"),
	ANY("ptrace",            "another process's memory"),
	ANY("process_vm_readv",  "another process's memory"),
	ANY("process_vm_writev", "another process's memory"),
	ANY("pidfd_getfd",       "another process's descriptors"),
	ANY("mount",             "other files"),
	ANY("umount2",           "other files"),
	ANY("move_mount",        "other files"),
	ANY("open_tree",         "other files"),
	ANY("fsopen",            "other files"),
	ANY("pivot_root",        "other files"),
	ANY("open_by_handle_at", "other files"),
	ANY("unshare",           "namespaces"),
	ANY("setns",             "namespaces"),
	ANY("bpf",               "the kernel's inside"),
	ANY("perf_event_open",   "the kernel's inside"),
	ANY("userfaultfd",       "the kernel's inside"),
	ANY("io_uring_setup",    "the kernel's inside"),
	ANY("io_uring_enter",    "the kernel's inside"),
	ANY("io_uring_register", "the kernel's inside"),
	ANY("init_module",       "the kernel itself"),
	ANY("finit_module",      "the kernel itself"),
	ANY("kexec_load",        "the kernel itself"),
	ANY("keyctl",            "keys of others"),
	ANY("add_key",           "keys of others"),
	ANY("request_key",       "keys of others"),
	END
};

/* A supervisor that was started as root needs these to reload and to respawn. */
static const unsigned supervisor_capabilities[] = {
	CAP_SETUID,           /* children become `user` ... */
	CAP_SETGID,           /* ... and `group` */
	CAP_SETPCAP,          /* children empty their bounding set */
	CAP_SYS_CHROOT,       /* ... and their root */
	CAP_KILL,             /* children of another user are told to stop */
	CAP_NET_BIND_SERVICE, /* a reload may add a listener below port 1024 */
	CAP_NET_RAW,          /* ... or one with `interface` */
	CAP_CHOWN,            /* ... or a unix socket with `owner` and `group` */
	CAP_FOWNER,           /* ... and `mode` */
	CAP_DAC_OVERRIDE,     /* ... in a folder of another user */
};

static const struct policy_limit child_limits[] = {
	{RLIMIT_NPROC, 0}, /* no other process */
	{RLIMIT_FSIZE, 0}, /* no byte in a file */
	{RLIMIT_CORE, 0},  /* no memory on a disk */
};

#define CALLS(...) (const struct policy_call *const []){__VA_ARGS__, sanitizer_calls, NULL}
#define ALL(list)  list, sizeof(list) / sizeof(list[0])
#define SUPERVISOR_LAYERS (1U << LAYER_NO_NEW_PRIVS | 1U << LAYER_IDENTITY | 1U << LAYER_SECCOMP)
#define CHILD_LAYERS      ((1U << N_LAYERS) - 1)

/* No child opens a path: descriptors are handed to it. It runs as `user` and `group` when upperd was started
 * as root, and as the user who started upperd otherwise. */
const struct policy policies[] = {
	{"worker",     CHILD_LAYERS,      NULL, 0, ALL(child_limits), CALLS(common, worker_calls)},
	{"keeper",     CHILD_LAYERS,      NULL, 0, ALL(child_limits), CALLS(common)},
	{"exporter",   CHILD_LAYERS,      NULL, 0, ALL(child_limits), CALLS(common, exporter_calls)},
	{"supervisor", SUPERVISOR_LAYERS, ALL(supervisor_capabilities), NULL, 0,
		CALLS(common, worker_calls, exporter_calls, starting_calls, supervisor_calls)},
};
// clang-format on

const size_t n_policies = sizeof(policies) / sizeof(policies[0]);

static const char *const layer_names[N_LAYERS] = {
#define LAYER(name, words) words,
	LAYERS(LAYER)
#undef LAYER
};

const char *layer_words(enum layer layer)
{
	return layer_names[layer];
}

const struct policy *policy_find(const char *role)
{
	for (size_t i = 0; i < n_policies; i++)
		if (strcmp(policies[i].role, role) == 0)
			return &policies[i];
	return NULL;
}

bool policy_has_all_of(const struct policy *policy, const char *name)
{
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (call->mask == 0 && strcmp(call->name, name) == 0)
				return true;
	return false;
}

/* A rule that is about some arguments stands beside a line that is about others. */
bool policy_contradicts(const struct policy *policy, const struct policy_call *stopped)
{
	if (stopped->mask != 0)
		return policy_has_all_of(policy, stopped->name);
	for (const struct policy_call *const *list = policy->calls; *list; list++)
		for (const struct policy_call *call = *list; call->name; call++)
			if (strcmp(call->name, stopped->name) == 0)
				return true;
	return false;
}
