/*
 * Preloaded into User-mode Linux: lets it set the vector registers of its processes where their
 * area is larger than it knows.
 *
 * Linux 6.1 for User-mode hands 2,696 bytes to PTRACE_SETREGSET of NT_X86_XSTATE, the area of a
 * processor with AVX-512. The host takes nothing but its whole area (xstateregs_set in
 * arch/x86/kernel/fpu/regset.c) and answers EFAULT to less: with AMX, 11,008 bytes. So the area is
 * fetched, the caller's bytes replace its beginning, and all of it is set.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long set_whole(long pid, const struct iovec *begin)
{
	/* One thread calls, on the guest's stacks, which are small. */
	static unsigned char area[64 << 10];
	struct iovec whole = { area, sizeof(area) };
	void *kind = (void *)NT_X86_XSTATE;

	if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, kind, &whole) < 0)
		return -1;
	if (begin->iov_len > whole.iov_len) {
		errno = EFAULT;
		return -1;
	}
	memcpy(area, begin->iov_base, begin->iov_len);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, kind, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	va_start(rest, request);
	long pid = va_arg(rest, int);
	void *address = va_arg(rest, void *);
	void *data = va_arg(rest, void *);
	va_end(rest);

	/* The system call stores what it has read; the C library's function returns it. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long word;
		if (syscall(SYS_ptrace, request, pid, address, &word) < 0)
			return -1;
		errno = 0;
		return word;
	}
	long result = syscall(SYS_ptrace, request, pid, address, data);
	if (result < 0 && errno == EFAULT && request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_whole(pid, data);
	return result;
}
