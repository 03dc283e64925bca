/*
 * What a tracer may expect of ptrace, with what is preloaded: a line per expectation, as the tests
 * of the kernel tier print it.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UML_AREA = 2696, MXCSR = 24, XMM0 = 160, BEYOND = 9000 };
static long word = -1;
static int failed;

static void expect(const char *what, int holds)
{
	printf("%s - ptrace: %s\n", holds ? "ok" : "not ok", what);
	failed |= !holds;
}

static long regset(enum __ptrace_request request, pid_t pid, void *kind, void *bytes, size_t size)
{
	struct iovec area = { bytes, size };

	errno = 0;
	return ptrace(request, pid, kind, &area) < 0 ? -1 : (long)area.iov_len;
}

int main(void)
{
	static unsigned char before[64 << 10], after[64 << 10];
	void *xstate = (void *)NT_X86_XSTATE, *registers = (void *)NT_PRSTATUS;
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, NULL, 0);

	long whole = regset(PTRACE_GETREGSET, pid, xstate, before, sizeof(before));
	expect("the area is larger than User-mode Linux knows", whole > UML_AREA);
	before[BEYOND] = 0x5a;
	expect("the whole area can be set", regset(PTRACE_SETREGSET, pid, xstate, before, whole) == whole);

	memset(before + XMM0, 0xa5, 16);
	before[512] |= 2;	/* XSTATE_BV: SSE is in use */
	expect("the part that User-mode Linux knows can be set", regset(PTRACE_SETREGSET, pid, xstate, before, UML_AREA) >= 0);
	regset(PTRACE_GETREGSET, pid, xstate, after, sizeof(after));
	expect("its registers have what was set", memcmp(before + XMM0, after + XMM0, 16) == 0);
	expect("the registers beyond it are kept", after[BEYOND] == 0x5a);

	memset(before + MXCSR, 0xff, 4);
	expect("what the processor refuses is an error", regset(PTRACE_SETREGSET, pid, xstate, before, UML_AREA) < 0 && errno == EINVAL);
	expect("so is a part of the other registers that lies nowhere",
	       regset(PTRACE_SETREGSET, pid, registers, (void *)1, 8) < 0 && errno == EFAULT);

	errno = ENOENT;
	expect("a word is read, -1 too", ptrace(PTRACE_PEEKDATA, pid, &word, NULL) == -1 && errno == 0);
	ptrace(PTRACE_POKEDATA, pid, &word, 4711L);
	expect("a word is written", ptrace(PTRACE_PEEKDATA, pid, &word, NULL) == 4711);
	expect("a word that is nowhere is an error", ptrace(PTRACE_PEEKDATA, pid, NULL, NULL) == -1 && errno == EIO);
	expect("a process that is not traced is an error",
	       regset(PTRACE_SETREGSET, getppid(), xstate, before, UML_AREA) < 0 && errno == ESRCH);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return failed;
}
