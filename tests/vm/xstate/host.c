/*
 * What User-mode Linux needs to know of its host. Prints how many bytes the processor's whole
 * XSAVE area takes (CPUID leaf 0Dh, subleaf 0, ECX); fails where a process cannot be traced.
 */
#include <cpuid.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	unsigned int eax, ebx, ecx = 0, edx;
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		fputs("no process can be traced", stderr);
		return 1;
	}
	__get_cpuid_count(0x0d, 0, &eax, &ebx, &ecx, &edx);
	printf("%u\n", ecx);
	return 0;
}
