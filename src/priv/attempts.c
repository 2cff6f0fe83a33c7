/* SPDX-License-Identifier: Apache-2.0 */

/* The attempts of `upperctl sandbox`: each tries something that the sandbox is to prevent, and is judged by what
 * came of it. The table names, for each, the layer that should stop it.
 *
 * An attempt must fail for the right reason. So its preparations, such as a socket to connect or a file to write,
 * are made before the sandbox is entered (`before`); what it then tries would work in an ordinary process. An
 * attempt that fails for want of its preparation counts as one that was not made, and never as held.
 *
 * Each runs in a process of its own, which enters the sandbox up to the layer that the attempt is about: a layer
 * must hold by itself, and not behind a stronger one. Some layers kill; then the death of that process is the
 * result. */

#include "priv/attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "priv/ident.h"
#include "priv/layers.h"

#define FILE_OF_ALL "etc/passwd"
#define MOST_FILES  64

static int outcome(long result)
{
	return result < 0 ? errno : 0;
}

static int before_folder(void)
{
	return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int before_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int before_datagrams(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int before_file(void)
{
	return memfd_create("upperd-attempt", MFD_CLOEXEC);
}

/* A connection of this machine, in a process that has a socket for datagrams where the worker puts them:
 * at the limit on open files. */
static int fixed_fd;

static int before_connection(void)
{
	struct rlimit files;
	int pair[2], datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (datagrams < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
		getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	files.rlim_cur = files.rlim_max = MOST_FILES;
	fixed_fd = fcntl(datagrams, F_DUPFD_CLOEXEC, MOST_FILES);
	return fixed_fd < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ? -1 : pair[0];
}

/* Beside the socket that our client has connected to, where the daemon may make files. In the sandbox it is reached
 * by its folder, since a path would be of no use in an empty root. */
static bool unix_beside_client(pid_t pid, struct sockaddr_un *ret_addr)
{
	for (int fd = 3; fd < MOST_FILES; fd++) {
		struct sockaddr_un own = {.sun_family = AF_UNSPEC};
		socklen_t len = sizeof(own);
		size_t room;

		if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
			own.sun_family != AF_UNIX || own.sun_path[0] != '/')
			continue;
		strrchr(own.sun_path, '/')[1] = '\0';
		room = sizeof(own.sun_path) - strlen(own.sun_path);
		*ret_addr = own;
		return snprintf(strchr(ret_addr->sun_path, '\0'), room, "attempt-%d", (int)pid) <
			(int)room;
	}
	return false;
}

static int before_unix(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	if (fd < 0 || !unix_beside_client(getpid(), &at) ||
		bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
		chmod(at.sun_path, 0666) < 0 || listen(fd, 1) < 0)
		return -1;
	strrchr(at.sun_path, '/')[1] = '\0';
	return open(at.sun_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void after_unix(pid_t pid)
{
	struct sockaddr_un at;

	if (unix_beside_client(pid, &at))
		unlink(at.sun_path);
}

static int before_parent(void)
{
	return getppid();
}

static int again_privileges(int fd)
{
	return outcome(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int open_path(int fd)
{
	return outcome(open("/" FILE_OF_ALL, O_RDONLY | O_CLOEXEC));
}

static int make_path(int fd)
{
	return outcome(open("/upperd-attempt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int open_below(int fd)
{
	return outcome(openat(fd, FILE_OF_ALL, O_RDONLY | O_CLOEXEC));
}

static int write_file(int fd)
{
	signal(SIGXFSZ, SIG_IGN);
	return outcome(write(fd, "", 1));
}

static int become_root(int fd)
{
	return outcome(setresuid(0, 0, 0));
}

static int gain_capability(int fd)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2] = {0};

	sets[0].permitted = sets[0].effective = 1U << CAP_SYS_ADMIN;
	return outcome(syscall(SYS_capset, &header, sets));
}

static int be_readable(int fd)
{
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? EACCES : 0;
}

static int make_process(int fd)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static struct sockaddr_in nobody_listens(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(1),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* An answer that no process listens means that the network was asked. */
static int connect_peer(int fd)
{
	struct sockaddr_in to = nobody_listens();

	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno != ECONNREFUSED)
		return errno;
	return 0;
}

static int connect_unix(int folder)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "attempt-%d", (int)getpid());
	if (fd < 0 || fchdir(folder) < 0)
		return errno;
	return outcome(connect(fd, (const struct sockaddr *)&to, sizeof(to)));
}

static int bind_port(int fd)
{
	struct sockaddr_in to = nobody_listens();

	to.sin_port = 0;
	return outcome(bind(fd, (const struct sockaddr *)&to, sizeof(to)));
}

/* In each way that there is, also by giving the connection the number of the other socket, and by bits of
 * the number that the kernel does not look at. */
static int pass_descriptor(int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec part = {(void *)(uintptr_t) "", 1};
	struct mmsghdr message = {.msg_hdr = {.msg_iov = &part,
					  .msg_iovlen = 1,
					  .msg_control = &control,
					  .msg_controllen = sizeof(control)}};
	int error;

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(fd, &message.msg_hdr, 0) >= 0)
		return 0;
	error = errno;
	if (sendmmsg(fd, &message, 1, 0) >= 0 ||
		syscall(SYS_sendmmsg, (1ull << 32) + (unsigned)fd, &message, 1, 0) >= 0 ||
		syscall(SYS_sendmmsg, (1ull << 32) - MOST_FILES + (unsigned)fd, &message, 1, 0) >=
			0)
		return 0;
	close(fixed_fd);
	if (fcntl(fd, F_DUPFD_CLOEXEC, fixed_fd) >= 0 || sendmmsg(fixed_fd, &message, 1, 0) >= 0)
		return 0;
	return error;
}

static int make_socket(int fd)
{
	return outcome(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int make_netlink(int fd)
{
	return outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int signal_parent(int pid)
{
	return outcome(kill(pid, 0));
}

static int signal_thread(int pid)
{
	return outcome(syscall(SYS_tgkill, pid, pid, 0));
}

static int run_program(int fd)
{
	char *const nothing[] = {NULL};

	return outcome(execve("/bin/true", nothing, nothing));
}

static int trace_parent(int pid)
{
	return outcome(ptrace(PTRACE_SEIZE, pid, NULL, NULL));
}

static int read_memory(int pid)
{
	return outcome(syscall(SYS_process_vm_readv, pid, NULL, 0, NULL, 0, 0));
}

static int map_code(int fd)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? errno : 0;
}

static int make_code(int fd)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return outcome(page == MAP_FAILED ? -1 : mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static bool knows_mdwe(void)
{
	return prctl(SANDBOX_GET_MDWE, 0, 0, 0, 0) >= 0;
}

static int write_code(int fd)
{
	void *page = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? errno : 0;
}

static int make_namespace(int fd)
{
	return outcome(unshare(CLONE_NEWUSER));
}

static int mount_files(int fd)
{
	return outcome(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
}

static int load_bpf(int fd)
{
	return outcome(syscall(SYS_bpf, 0, NULL, 0));
}

static int make_uring(int fd)
{
	return outcome(syscall(SYS_io_uring_setup, 1, NULL));
}

static int use_keys(int fd)
{
	return outcome(syscall(SYS_keyctl, 0, 0, 0));
}

static int fault_memory(int fd)
{
	return outcome(syscall(SYS_userfaultfd, 0));
}

static int unlisted_call(int fd)
{
	return outcome(syscall(SYS_sched_get_priority_max, SCHED_OTHER));
}

#if defined(__x86_64__)
/* The calls of 32 bits are another architecture, with other numbers. */
static int foreign_call(int fd)
{
	long result = 20; /* getpid */

	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return result < 0 ? (int)-result : 0;
}
#endif

// clang-format off
#define EVERYWHERE true
const struct attempt attempts[] = {
	{LAYER_NO_NEW_PRIVS, "get new privileges again", EVERYWHERE, 0, NULL, again_privileges},
	{LAYER_NO_NEW_PRIVS, "write what it executes", EVERYWHERE, 0, NULL, write_code, "6.3", knows_mdwe},
	{LAYER_ROOT,     "open a file",              false, 0, NULL, open_path},
	{LAYER_ROOT,     "make a file",              false, 0, NULL, make_path},
	{LAYER_IDENTITY, "become root",              false, 0, NULL, become_root},
	{LAYER_IDENTITY, "gain a capability",   EVERYWHERE, 0, NULL, gain_capability},
	{LAYER_DUMPABLE, "be read by its user",      false, 0, NULL, be_readable},
	{LAYER_RLIMITS,  "make a process",           false, 0, NULL, make_process},
	{LAYER_RLIMITS,  "write to a file it holds", false, 0, before_file, write_file},
	{LAYER_LANDLOCK, "open a file below a folder it holds", false, 1, before_folder, open_below, "5.13"},
	{LAYER_LANDLOCK, "connect a socket it holds", false, 4, before_socket, connect_peer, "6.7"},
	{LAYER_LANDLOCK, "bind a socket it holds",   false, 4, before_socket, bind_port, "6.7"},
	{LAYER_LANDLOCK, "connect to a unix socket by its path", false, 9, before_unix, connect_unix, "7.1", NULL, after_unix},
	{LAYER_LANDLOCK, "bind a datagram socket it holds", false, 10, before_datagrams, bind_port, "7.2"},
	{LAYER_LANDLOCK, "signal another process",   false, 6, before_parent, signal_parent, "6.12"},
	{LAYER_SECCOMP,  "open a file",              false, 0, NULL, open_path},
	{LAYER_SECCOMP,  "open a file below a folder it holds", false, 0, before_folder, open_below},
	{LAYER_SECCOMP,  "make a socket",            false, 0, NULL, make_socket},
	{LAYER_SECCOMP,  "connect a socket it holds", false, 0, before_socket, connect_peer},
	{LAYER_SECCOMP,  "connect a datagram socket it holds", false, 0, before_datagrams, connect_peer},
	{LAYER_SECCOMP,  "bind a socket it holds",   false, 0, before_socket, bind_port},
	{LAYER_SECCOMP,  "pass a descriptor on",     false, 0, before_connection, pass_descriptor},
	{LAYER_SECCOMP,  "signal another process",   false, 0, before_parent, signal_parent},
	{LAYER_SECCOMP,  "signal another's thread",  false, 0, before_parent, signal_thread},
	{LAYER_SECCOMP,  "make a process",           false, 0, NULL, make_process},
	{LAYER_SECCOMP,  "map executable memory",    false, 0, NULL, map_code},
	{LAYER_SECCOMP,  "make memory executable",   false, 0, NULL, make_code},
	{LAYER_SECCOMP,  "run a program",            false, 0, NULL, run_program},
	{LAYER_SECCOMP,  "make a netlink socket",EVERYWHERE, 0, NULL, make_netlink},
	{LAYER_SECCOMP,  "trace another process", EVERYWHERE, 0, before_parent, trace_parent},
	{LAYER_SECCOMP,  "read another's memory", EVERYWHERE, 0, before_parent, read_memory},
	{LAYER_SECCOMP,  "make a namespace",     EVERYWHERE, 0, NULL, make_namespace},
	{LAYER_SECCOMP,  "mount files",          EVERYWHERE, 0, NULL, mount_files},
	{LAYER_SECCOMP,  "load a BPF program",   EVERYWHERE, 0, NULL, load_bpf},
	{LAYER_SECCOMP,  "make an io_uring",     EVERYWHERE, 0, NULL, make_uring},
	{LAYER_SECCOMP,  "use the keys of the kernel", EVERYWHERE, 0, NULL, use_keys},
	{LAYER_SECCOMP,  "handle page faults",   EVERYWHERE, 0, NULL, fault_memory},
	{LAYER_SECCOMP,  "make a call that is on no list", EVERYWHERE, 0, NULL, unlisted_call},
#if defined(__x86_64__)
	{LAYER_SECCOMP,  "make a call of another architecture", EVERYWHERE, 0, NULL, foreign_call},
#endif
};
// clang-format on

const unsigned n_attempts = sizeof(attempts) / sizeof(attempts[0]);

enum {
	TRIAL_SUCCEEDED,
	TRIAL_FAILED = 0x100, /* and what it heard */
	TRIAL_ABSENT = 0x200,
	TRIAL_NOT_FOR = 0x400, /* it lacks what it is to be tried on */
	TRIAL_NOTHING = 0x800,
	TRIAL_MASK = 0xf00,
};

static bool is_for(const struct attempt *attempt, const struct sandbox *sandbox)
{
	if (sandbox->mode == SANDBOX_OFF && attempt->layer != LAYER_NO_NEW_PRIVS &&
		attempt->layer != LAYER_IDENTITY)
		return false;
	if (attempt->layer == LAYER_ROOT && !ident_is_root())
		return false;
	if (attempt->everywhere)
		return true;
	/* The supervisor may do nearly all that the others may not. */
	return sandbox->policy->layers & 1U << LAYER_LANDLOCK;
}

/* A kernel without any Landlock is another matter: then a layer is missing. */
static bool is_known_to_kernel(const struct attempt *attempt)
{
	if (attempt->is_known)
		return attempt->is_known();
	return landlock_version() < 0 || landlock_version() >= (int)attempt->landlock;
}

/* The absence of the layer is the outcome, also where it is no failure. */
static int enter_until(const struct sandbox *sandbox, enum layer last)
{
	struct sandbox asked = *sandbox;
	enum layer missing;
	int r = 0;

	if (last > 0)
		r = sandbox_enter_some(sandbox, 0, last - 1, &missing);
	if (asked.mode == SANDBOX_BEST_EFFORT)
		asked.mode = SANDBOX_REQUIRED;
	return r < 0 ? r : sandbox_enter_some(&asked, last, last, &missing);
}

__attribute__((noreturn)) static void try_it(
	const struct attempt *attempt, const struct sandbox *sandbox, int said)
{
	int fd = attempt->before ? attempt->before() : -1;
	int word, r;

	r = enter_until(sandbox, attempt->layer);
	if (attempt->before && fd < 0) {
		word = TRIAL_NOT_FOR;
	} else if (r < 0) {
		word = TRIAL_ABSENT | -r;
	} else {
		r = attempt->attempt(fd);
		word = r == 0 ? TRIAL_SUCCEEDED : TRIAL_FAILED | r;
	}
	if (write(said, &word, sizeof(word)) < 0)
		_exit(1);
	_exit(0);
}

static struct attempt_outcome outcome_of(int word, const siginfo_t *how)
{
	if (how->si_code != CLD_EXITED)
		return (struct attempt_outcome){ATTEMPT_FAILED, 0, how->si_status};
	switch (word & TRIAL_MASK) {
	case TRIAL_SUCCEEDED:
		return (struct attempt_outcome){ATTEMPT_SUCCEEDED};
	case TRIAL_FAILED:
		return (struct attempt_outcome){ATTEMPT_FAILED, word & ~TRIAL_MASK};
	case TRIAL_NOT_FOR:
		return (struct attempt_outcome){ATTEMPT_NOT_FOR};
	default:
		return (struct attempt_outcome){ATTEMPT_ABSENT, word & ~TRIAL_MASK};
	}
}

int attempt_make(const struct attempt *attempt, const struct sandbox *sandbox,
	struct attempt_outcome *ret_outcome)
{
	_cleanup_close_ int said = -1, hears = -1;
	int pipes[2], word = TRIAL_NOTHING;
	siginfo_t how = {0};
	pid_t pid;

	if (!is_for(attempt, sandbox)) {
		*ret_outcome = (struct attempt_outcome){ATTEMPT_NOT_FOR};
		return 0;
	}
	if (!is_known_to_kernel(attempt)) {
		*ret_outcome = (struct attempt_outcome){ATTEMPT_TOO_NEW};
		return 0;
	}
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	hears = pipes[0];
	said = pipes[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		try_it(attempt, sandbox, said);
	if (waitid(P_PID, (id_t)pid, &how, WEXITED) < 0)
		return -errno;
	if (attempt->after)
		attempt->after(pid);
	if (how.si_code == CLD_EXITED && read(hears, &word, sizeof(word)) != sizeof(word))
		word = TRIAL_NOTHING;
	*ret_outcome = outcome_of(word, &how);
	return 0;
}
