/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/*
 * Preloaded into tcmu-runner: turns its system calls on the kernel's target into requests to the
 * emulated kernel (kernel/mod.rs), which listens on the socket that TCMU_KERNEL names.
 *
 * - open("/dev/uioN"): the kernel hands over the memory of the ring and two eventfds. The
 *   descriptor is the one that the kernel signals, so that ppoll needs no wrapper; read takes an
 *   event, write signals the kernel, mmap maps the ring.
 * - A file of configfs or a module parameter that is opened for writing: each write is a request,
 *   answered when it has taken effect. Those that are read are plain files.
 * - A generic netlink socket: a connection that carries the same messages.
 *
 * Threads cannot be created while /run/out-of-threads exists.
 *
 * Each request is a connection of its own; its first message says what it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum kind { ORDINARY, UIO, WRITTEN, NETLINK };

/* A descriptor that stands for one of the kernel's. */
struct descriptor {
	_Atomic enum kind kind;
	int memory, to_kernel, connection; /* of UIO */
};

static struct descriptor table[1 << 16];

static struct descriptor *find(int fd, enum kind kind)
{
	if (fd < 0 || (size_t)fd >= sizeof(table) / sizeof(*table))
		return NULL;
	return table[fd].kind == kind ? &table[fd] : NULL;
}

/* The C library's function of that name. */
#define REAL(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) real;                                                     \
		if (!real)                                                                         \
			real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                         \
		real;                                                                              \
	})

/* A connection to the emulated kernel that begins with a message. */
static int request(char kind, const char *what)
{
	const char *path = getenv("TCMU_KERNEL");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char message[4096];
	size_t length = strlen(what);

	if (!path || strlen(path) >= sizeof(address.sun_path) || length >= sizeof(message)) {
		errno = EINVAL;
		return -1;
	}
	strcpy(address.sun_path, path);
	message[0] = kind;
	memcpy(message + 1, what, length);
	int fd = REAL(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(fd, message, length + 1, MSG_NOSIGNAL) < 0) {
		REAL(close)(fd);
		return -1;
	}
	return fd;
}

static int open_uio(const char *name)
{
	int fds[3], connection = request('u', name);
	int32_t result;
	char control[CMSG_SPACE(sizeof(fds))];
	struct iovec iov = { &result, sizeof(result) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (connection < 0)
		return -1;
	if (REAL(recvmsg)(connection, &message, MSG_CMSG_CLOEXEC) != sizeof(result))
		result = -EIO;
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	if (result < 0 || !rights || rights->cmsg_len != CMSG_LEN(sizeof(fds))) {
		REAL(close)(connection);
		errno = result < 0 ? -result : EIO;
		return -1;
	}
	memcpy(fds, CMSG_DATA(rights), sizeof(fds));
	struct descriptor *uio = &table[fds[0]];
	uio->memory = fds[1];
	uio->to_kernel = fds[2];
	uio->connection = connection;
	uio->kind = UIO;
	return fds[0];
}

static int starts_with(const char *path, const char *folder)
{
	return !strncmp(path, folder, strlen(folder));
}

static int opened(const char *path, int flags, int fd)
{
	if (fd < 0)
		return fd;
	if (starts_with(path, "/dev/uio")) {
		REAL(close)(fd);
		return open_uio(path + strlen("/dev/"));
	}
	if ((flags & O_ACCMODE) != O_RDONLY &&
	    (starts_with(path, "/sys/kernel/config/") || starts_with(path, "/sys/module/"))) {
		REAL(close)(fd);
		fd = request('w', path);
		if (fd >= 0)
			table[fd].kind = WRITTEN;
	}
	return fd;
}

/* Files of configfs are neither created nor emptied by those who write to them. */
static int flags_of(const char *path, int flags)
{
	return starts_with(path, "/sys/") ? flags & ~(O_CREAT | O_TRUNC) : flags;
}

#define OPEN(name)                                                                                 \
	int name(const char *path, int flags, ...)                                                 \
	{                                                                                          \
		va_list rest;                                                                      \
		va_start(rest, flags);                                                             \
		mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;          \
		va_end(rest);                                                                      \
		return opened(path, flags, REAL(name)(path, flags_of(path, flags), mode));         \
	}
OPEN(open)
OPEN(open64)

ssize_t read(int fd, void *buffer, size_t length)
{
	if (!find(fd, UIO))
		return REAL(read)(fd, buffer, length);
	uint64_t events;
	if (REAL(read)(fd, &events, sizeof(events)) < 0)
		return -1;
	uint32_t count = (uint32_t)events;
	memcpy(buffer, &count, sizeof(count));
	return sizeof(count);
}

ssize_t write(int fd, const void *buffer, size_t length)
{
	struct descriptor *uio = find(fd, UIO);
	if (uio) {
		const uint64_t one = 1;
		return REAL(write)(uio->to_kernel, &one, sizeof(one)) < 0 ? -1 : (ssize_t)length;
	}
	if (!find(fd, WRITTEN))
		return REAL(write)(fd, buffer, length);
	int32_t result = -EIO;
	if (send(fd, buffer, length, MSG_NOSIGNAL) < 0 ||
	    recv(fd, &result, sizeof(result), 0) != sizeof(result) || result < 0) {
		errno = result < 0 ? -result : EIO;
		return -1;
	}
	return (ssize_t)length;
}

#define MMAP(name, offset_type)                                                                    \
	void *name(void *place, size_t length, int protection, int flags, int fd,                  \
		   offset_type offset)                                                             \
	{                                                                                          \
		struct descriptor *uio = find(fd, UIO);                                            \
		return REAL(name)(place, length, protection, flags, uio ? uio->memory : fd,        \
				  offset);                                                         \
	}
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

int close(int fd)
{
	struct descriptor *uio = find(fd, UIO);
	if (uio) {
		REAL(close)(uio->memory);
		REAL(close)(uio->to_kernel);
		REAL(close)(uio->connection);
	}
	if (fd >= 0 && (size_t)fd < sizeof(table) / sizeof(*table))
		table[fd].kind = ORDINARY;
	return REAL(close)(fd);
}

int socket(int domain, int type, int protocol)
{
	if (domain != AF_NETLINK || protocol != NETLINK_GENERIC)
		return REAL(socket)(domain, type, protocol);
	int fd = request('n', "");
	if (fd >= 0)
		table[fd].kind = NETLINK;
	return fd;
}

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return find(fd, NETLINK) ? 0 : REAL(bind)(fd, address, length);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	return find(fd, NETLINK) ? 0 : REAL(setsockopt)(fd, level, option, value, length);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
	if (!find(fd, NETLINK))
		return REAL(getsockname)(fd, address, length);
	const struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_pid = (uint32_t)getpid() };
	memcpy(address, &own, *length < sizeof(own) ? *length : sizeof(own));
	*length = sizeof(own);
	return 0;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (!find(fd, NETLINK))
		return REAL(sendmsg)(fd, message, flags);
	const struct msghdr bare = { .msg_iov = message->msg_iov, .msg_iovlen = message->msg_iovlen };
	return REAL(sendmsg)(fd, &bare, flags | MSG_NOSIGNAL);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	if (!find(fd, NETLINK))
		return REAL(recvmsg)(fd, message, flags);
	struct msghdr bare = { .msg_iov = message->msg_iov, .msg_iovlen = message->msg_iovlen };
	ssize_t length = REAL(recvmsg)(fd, &bare, flags);
	if (length < 0)
		return length;
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	if (message->msg_name)
		memcpy(message->msg_name, &kernel, sizeof(kernel));
	message->msg_namelen = sizeof(kernel);
	message->msg_controllen = 0;
	message->msg_flags = bare.msg_flags;
	return length;
}

/* There is none to be had while a file says so. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *),
		   void *argument)
{
	if (!access("/run/out-of-threads", F_OK))
		return EAGAIN;
	return REAL(pthread_create)(thread, attributes, body, argument);
}

/*
 * Of libkmod. To the daemon there are no modules, as in a container: it is content with
 * /sys/module/target_core_user (load_our_module).
 */
int kmod_module_new_from_lookup(void *context, const char *alias, void **list);
int kmod_module_new_from_lookup(void *context, const char *alias, void **list)
{
	(void)context, (void)alias, (void)list;
	errno = ENOENT;
	return -ENOENT;
}
