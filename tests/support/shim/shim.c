/* A disk that fails as a file says: loaded before the C library, for files below a folder.
 *
 * ARMSPAN_SHIM_DIR   the folder
 * ARMSPAN_SHIM_PLAN  a file with words: write=ERRNO sync=ERRNO open=ERRNO delay=MS half=1 only=TEXT
 *
 * `half` lets a write that fails put half of its bytes; `only` is a part of the path. The plan is
 * read at each call, so that a test can change it at any time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct plan { int write, sync, open, delay, half; char only[64]; };

static int number(const char *text, const char *word) {
    const char *at = strstr(text, word);
    return at ? atoi(at + strlen(word)) : 0;
}

static int read_plan(struct plan *plan) {
    char text[512];
    const char *path = getenv("ARMSPAN_SHIM_PLAN");
    memset(plan, 0, sizeof *plan);
    if (!path) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (count <= 0) return 0;
    text[count] = 0;
    plan->write = number(text, "write=");
    plan->sync = number(text, "sync=");
    plan->open = number(text, "open=");
    plan->delay = number(text, "delay=");
    plan->half = number(text, "half=");
    const char *only = strstr(text, "only=");
    if (only) sscanf(only + 5, "%63s", plan->only);
    return 1;
}

static int is_ours(const char *path, const struct plan *plan) {
    const char *dir = getenv("ARMSPAN_SHIM_DIR");
    if (!dir || strncmp(path, dir, strlen(dir)) != 0) return 0;
    return !plan->only[0] || strstr(path, plan->only) != NULL;
}

static int is_our_file(int fd, const struct plan *plan) {
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t count = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (count <= 0) return 0;
    path[count] = 0;
    return is_ours(path, plan);
}

static int fails(int fd, int error, const struct plan *plan) {
    return error && is_our_file(fd, plan);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct plan plan;
    if (fd > 2 && read_plan(&plan) && fails(fd, plan.write, &plan)) {
        if (plan.half && count > 1) return syscall(SYS_write, fd, bytes, count / 2);
        errno = plan.write;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct plan plan;
    if (fd > 2 && read_plan(&plan) && fails(fd, plan.write, &plan)) {
        errno = plan.write;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    struct plan plan;
    if (read_plan(&plan) && fails(fd, plan.write, &plan)) {
        if (plan.half && count > 1) syscall(SYS_pwrite64, fd, bytes, count / 2, offset);
        errno = plan.write;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

static int sync_with(int fd, long call) {
    struct plan plan;
    if (read_plan(&plan) && is_our_file(fd, &plan)) {
        if (plan.delay) {
            struct timespec pause = {plan.delay / 1000, plan.delay % 1000 * 1000000L};
            nanosleep(&pause, NULL);
        }
        if (plan.sync) {
            errno = plan.sync;
            return -1;
        }
    }
    return syscall(call, fd);
}

int fsync(int fd) { return sync_with(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_with(fd, SYS_fdatasync); }

/* Of a read-only file system only what writes fails; without file handles everything does. */
static int open_fails(const char *path, int flags) {
    struct plan plan;
    if (!read_plan(&plan) || !plan.open || !is_ours(path, &plan)) return 0;
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
    if (plan.open == EROFS && !writes) return 0;
    errno = plan.open;
    return 1;
}

static int open_with(int dir, const char *path, int flags, va_list rest) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    if (open_fails(path, flags)) return -1;
    return syscall(SYS_openat, dir, path, flags, mode);
}

#define OPENS(...)                                  \
    va_list rest;                                   \
    va_start(rest, flags);                          \
    int fd = open_with(__VA_ARGS__, path, flags, rest); \
    va_end(rest);                                   \
    return fd;

int open(const char *path, int flags, ...) { OPENS(AT_FDCWD) }
int open64(const char *path, int flags, ...) { OPENS(AT_FDCWD) }
int openat(int dir, const char *path, int flags, ...) { OPENS(dir) }
int openat64(int dir, const char *path, int flags, ...) { OPENS(dir) }

static int name_fails(const char *path) { return open_fails(path, O_WRONLY); }

int rename(const char *from, const char *to) {
    if (name_fails(to)) return -1;
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
    if (name_fails(path)) return -1;
    return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
