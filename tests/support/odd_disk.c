/* A disk with habits, for one process and those that it starts: LD_PRELOAD puts these calls before those of libc.
 *
 * ODD_ROOT   the folder that lies on it
 * ODD_CALL   which call fails there: flock, fsync, fsync_folder, write, open, read, rename, link, fchmod
 * ODD_ERRNO  with which error
 * ODD_AFTER  after so many that go well
 * ODD_FOLDS  any value: names differ in more than the case of their letters, as on FAT
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

static atomic_int calls;

static int lies_there(const char *path) {
    const char *root = getenv("ODD_ROOT");
    return root && path && !strncmp(path, root, strlen(root));
}

static int is_there(int descriptor) {
    char link_path[64], path[PATH_MAX];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", descriptor);
    ssize_t length = NEXT(readlink)(link_path, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return lies_there(path);
}

static int fails(const char *call) {
    const char *which = getenv("ODD_CALL"), *after = getenv("ODD_AFTER");
    if (!which || strcmp(which, call)) return 0;
    if (atomic_fetch_add(&calls, 1) < (after ? atoi(after) : 0)) return 0;
    errno = atoi(getenv("ODD_ERRNO"));
    return 1;
}

/* The path as such a disk has it: below the root in small letters. */
static const char *on_disk(const char *path, char *folded) {
    if (!getenv("ODD_FOLDS") || !lies_there(path) || strlen(path) >= PATH_MAX) return path;
    size_t fixed = strlen(getenv("ODD_ROOT"));
    for (size_t i = 0; i <= strlen(path); i++) folded[i] = i < fixed ? path[i] : (char)tolower((unsigned char)path[i]);
    return folded;
}

int flock(int descriptor, int operation) {
    return is_there(descriptor) && fails("flock") ? -1 : NEXT(flock)(descriptor, operation);
}

int fsync(int descriptor) {
    struct stat status;
    if (is_there(descriptor) && !fstat(descriptor, &status) && fails(S_ISDIR(status.st_mode) ? "fsync_folder" : "fsync")) return -1;
    return NEXT(fsync)(descriptor);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    return is_there(descriptor) && fails("write") ? -1 : NEXT(write)(descriptor, data, size);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    return is_there(descriptor) && fails("write") ? -1 : NEXT(pwrite64)(descriptor, data, size, offset);
}

ssize_t read(int descriptor, void *data, size_t size) {
    return is_there(descriptor) && fails("read") ? -1 : NEXT(read)(descriptor, data, size);
}

#define OPENS(name)                                                                                    \
    int name(const char *path, int flags, ...) {                                                       \
        char folded[PATH_MAX];                                                                         \
        va_list rest;                                                                                  \
        va_start(rest, flags);                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                            \
        va_end(rest);                                                                                  \
        if (lies_there(path) && fails("open")) return -1;                                              \
        return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(on_disk(path, folded), flags, mode); \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                                 \
    int name(int folder, const char *path, int flags, ...) {                                           \
        char folded[PATH_MAX];                                                                         \
        va_list rest;                                                                                  \
        va_start(rest, flags);                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                            \
        va_end(rest);                                                                                  \
        if (lies_there(path) && fails("open")) return -1;                                              \
        return ((int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name))(folder, on_disk(path, folded), flags, mode); \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int rename(const char *before, const char *after) {
    char folded_before[PATH_MAX], folded_after[PATH_MAX];
    if (lies_there(after) && fails("rename")) return -1;
    return NEXT(rename)(on_disk(before, folded_before), on_disk(after, folded_after));
}

int fchmod(int descriptor, mode_t mode) {
    return is_there(descriptor) && fails("fchmod") ? -1 : NEXT(fchmod)(descriptor, mode);
}

int link(const char *before, const char *after) {
    return lies_there(after) && fails("link") ? -1 : NEXT(link)(before, after);
}

#define FOLDS(name, declaration, ...)                                                                  \
    int name declaration {                                                                             \
        char folded[PATH_MAX];                                                                         \
        return ((int (*) declaration)dlsym(RTLD_NEXT, #name))(__VA_ARGS__);                            \
    }
FOLDS(mkdir, (const char *path, mode_t mode), on_disk(path, folded), mode)
FOLDS(rmdir, (const char *path), on_disk(path, folded))
FOLDS(unlink, (const char *path), on_disk(path, folded))
FOLDS(access, (const char *path, int mode), on_disk(path, folded), mode)
FOLDS(stat, (const char *path, struct stat *status), on_disk(path, folded), status)
FOLDS(lstat, (const char *path, struct stat *status), on_disk(path, folded), status)
FOLDS(stat64, (const char *path, struct stat64 *status), on_disk(path, folded), status)
FOLDS(lstat64, (const char *path, struct stat64 *status), on_disk(path, folded), status)
FOLDS(fstatat, (int folder, const char *path, struct stat *status, int flags), folder, on_disk(path, folded), status, flags)
FOLDS(fstatat64, (int folder, const char *path, struct stat64 *status, int flags), folder, on_disk(path, folded), status, flags)

DIR *opendir(const char *path) {
    char folded[PATH_MAX];
    return NEXT(opendir)(on_disk(path, folded));
}
