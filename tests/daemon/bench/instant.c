/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/*
 * A handler of tcmu-runner 1.5.4 that has no storage and answers at once: what the core itself can
 * do. Data is neither read nor written.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* struct tcmur_handler of 1.5.4, in the order of its members. */
struct handler {
	const char *name, *subtype, *description;
	void *opaque;
	bool (*check_config)(const char *config, char **reason);
	int (*reconfig)(void *device, void *change);
	int (*open)(void *device, bool again);
	void (*close)(void *device);
	int threads;
	int (*handle_cmd)(void *device, void *command);
	int (*read)(void *device, void *command, struct iovec *, size_t, size_t, off_t);
	int (*write)(void *device, void *command, struct iovec *, size_t, size_t, off_t);
	int (*flush)(void *device, void *command);
	void *not_used[8];
	bool is_of_dbus;
	void *not_used_either[3];
};
_Static_assert(offsetof(struct handler, read) == 80, "the layout of 1.5.4");
_Static_assert(offsetof(struct handler, is_of_dbus) == 168, "the layout of 1.5.4");
_Static_assert(sizeof(struct handler) == 200, "the layout of 1.5.4");

int tcmur_register_handler(struct handler *);
void tcmur_cmd_complete(void *device, void *command, int status);

static int opened(void *device, bool again)
{
	(void)device, (void)again;
	return 0;
}

static void closed(void *device)
{
	(void)device;
}

static int transferred(void *device, void *command, struct iovec *iov, size_t count, size_t length,
		       off_t offset)
{
	(void)iov, (void)count, (void)length, (void)offset;
	tcmur_cmd_complete(device, command, 0);
	return 0;
}

static int flushed(void *device, void *command)
{
	tcmur_cmd_complete(device, command, 0);
	return 0;
}

int handler_init(void);
int handler_init(void)
{
	static struct handler instant = {
		.name = "Answers at once",
		.subtype = "glfs",
		.description = "Anything",
		.open = opened,
		.close = closed,
		.read = transferred,
		.write = transferred,
		.flush = flushed,
	};
	return tcmur_register_handler(&instant);
}
