/* A fault layer for tests: a disk that keeps only what was synced.
 *
 * Loaded by LD_PRELOAD. For each file below PLINTH_FAULT_DATA it keeps, below PLINTH_FAULT_IMAGES, the content as of the
 * file's last successful fsync or fdatasync, and appends one line with the file's relative path to PLINTH_FAULT_LOG for
 * each of them. After the process was killed, a test puts the images in the place of the files: that drops every write
 * that was not synced, as a power cut may.
 *
 * Removing and renaming a file count as durable at once. What is written through a mapping is not looked at.
 * Should the layer itself fail, it aborts the process, so that no test passes because of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *data_dir, *image_dir, *log_path;
static size_t data_dir_length;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_rename)(const char *, const char *);

static void fail(const char *what, const char *path) {
    fprintf(stderr, "fault layer: %s %s: %s\n", what, path, strerror(errno));
    abort();
}

static void *next(const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) fail("no symbol", name);
    return symbol;
}

__attribute__((constructor)) static void begin(void) {
    *(void **)&real_fsync = next("fsync");
    *(void **)&real_fdatasync = next("fdatasync");
    *(void **)&real_unlink = next("unlink");
    *(void **)&real_unlinkat = next("unlinkat");
    *(void **)&real_rename = next("rename");
    data_dir = getenv("PLINTH_FAULT_DATA");
    image_dir = getenv("PLINTH_FAULT_IMAGES");
    log_path = getenv("PLINTH_FAULT_LOG");
    if (data_dir == NULL || image_dir == NULL || log_path == NULL) fail("no environment for", "it");
    data_dir_length = strlen(data_dir);
}

/* The path below the data directory, or NULL. */
static const char *below(const char *path) {
    if (strncmp(path, data_dir, data_dir_length) != 0 || path[data_dir_length] != '/') return NULL;
    return path + data_dir_length + 1;
}

static void join(char *path, const char *relative, const char *suffix) {
    int length = snprintf(path, PATH_MAX, "%s/%s%s", image_dir, relative, suffix);
    if (length < 0 || length >= PATH_MAX) fail("path too long", relative);
}

/* Makes an absolute path of one that is relative to a directory. */
static int absolute(char *path, int directory, const char *name) {
    char base[PATH_MAX], link[64];
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (directory == AT_FDCWD) {
        if (getcwd(base, sizeof base) == NULL) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = '\0';
    }
    size_t base_length = strlen(base), name_length = strlen(name);
    if (base_length + 1 + name_length >= PATH_MAX) return 0;
    memcpy(path, base, base_length);
    path[base_length] = '/';
    memcpy(path + base_length + 1, name, name_length + 1);
    return 1;
}

static void make_parents(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) fail("creating", path);
        *slash = '/';
    }
}

static void note(const char *relative) {
    char line[PATH_MAX + 1];
    int length = snprintf(line, sizeof line, "%s\n", relative);
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, (size_t)length) != length) fail("writing", log_path);
    close(log);
}

/* Copies the file behind a descriptor to its image, which appears whole or not at all.
 *
 * Reads through the descriptor itself where that is open for reading: opening and closing the file once more would
 * release the process's POSIX locks on it, on which SQLite relies. */
static void take_image(int descriptor, const char *path, const char *relative) {
    static char buffer[1 << 16];
    char image[PATH_MAX], fresh[PATH_MAX];
    join(image, relative, "");
    join(fresh, relative, ".fresh");
    make_parents(fresh);
    int from = descriptor, to = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) fail("creating", fresh);
    if ((fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_WRONLY) from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0) fail("opening", path);
    off_t offset = 0;
    ssize_t count;
    while ((count = pread(from, buffer, sizeof buffer, offset)) > 0) {
        if (write(to, buffer, (size_t)count) != count) fail("writing", fresh);
        offset += count;
    }
    if (count < 0) fail("reading", path);
    if (from != descriptor) close(from);
    if (close(to) != 0 || real_rename(fresh, image) != 0) fail("keeping", image);
}

static int synced(int descriptor, int result) {
    char link[64], path[PATH_MAX];
    struct stat status;
    if (result != 0) return result;
    int keep = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(descriptor, &status) != 0) fail("looking at", link);
    path[length] = '\0';
    const char *relative = below(path);
    /* A file without a name cannot be found after a crash. */
    if (relative != NULL && status.st_nlink > 0) {
        pthread_mutex_lock(&lock);
        if (S_ISREG(status.st_mode)) take_image(descriptor, path, relative);
        note(relative);
        pthread_mutex_unlock(&lock);
    }
    errno = keep;
    return result;
}

int fsync(int descriptor) { return synced(descriptor, real_fsync(descriptor)); }

int fdatasync(int descriptor) { return synced(descriptor, real_fdatasync(descriptor)); }

static int removed(int directory, const char *name, int result) {
    char path[PATH_MAX], image[PATH_MAX];
    int keep = errno;
    if (result == 0 && absolute(path, directory, name)) {
        const char *relative = below(path);
        if (relative != NULL) {
            join(image, relative, "");
            real_unlink(image);
        }
    }
    errno = keep;
    return result;
}

int unlink(const char *name) { return removed(AT_FDCWD, name, real_unlink(name)); }

int unlinkat(int directory, const char *name, int flags) {
    return removed(directory, name, real_unlinkat(directory, name, flags));
}

int rename(const char *from, const char *to) {
    char old_path[PATH_MAX], new_path[PATH_MAX], old_image[PATH_MAX], new_image[PATH_MAX];
    int result = real_rename(from, to);
    int keep = errno;
    if (result == 0 && absolute(old_path, AT_FDCWD, from) && absolute(new_path, AT_FDCWD, to)) {
        const char *old_relative = below(old_path), *new_relative = below(new_path);
        if (old_relative != NULL && new_relative != NULL) {
            join(old_image, old_relative, "");
            join(new_image, new_relative, "");
            make_parents(new_image);
            /* What was never synced has no image, and takes the place of one that had. */
            if (real_rename(old_image, new_image) != 0) real_unlink(new_image);
        }
    }
    errno = keep;
    return result;
}
