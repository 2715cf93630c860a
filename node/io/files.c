#include "node/io/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define FILES_PATH_SIZE 4096
#define FILES_NAME_SIZE 64 /* of a file in the data directory */
#define FILES_OTHERS 077   /* mode bits of group and others */

struct files {
    int directory; /* descriptor */
    int lock;
    char root[FILES_PATH_SIZE];
    char path[FILES_PATH_SIZE + FILES_NAME_SIZE + 1];
};

static mn_status files_fail(struct files_error *error, mn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static mn_status files_fail(struct files_error *error, mn_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

static mn_status files_fail_errno(struct files_error *error, const char *path)
{
    int code = errno;
    mn_status status = code == EACCES || code == EPERM ? MN_DENIED : MN_IO;
    return files_fail(error, status, "%.300s: %s", path, strerror(code));
}

static bool files_write_all(int fd, struct mn_span bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(fd, bytes.data, bytes.size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes = mn_span(bytes.data + written, bytes.size - (size_t)written);
    }
    return true;
}

/* ---- the directory ---- */

/* Like mkdir -p; directories above the last one get the usual mode. */
static bool files_make_directory(const char *path)
{
    char part[FILES_PATH_SIZE];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return false;
        *slash = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST;
}

static mn_status files_lock(struct files *files, struct files_error *error)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    files->lock = openat(files->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (files->lock < 0) return files_fail_errno(error, files_path(files, "lock"));
    if (fcntl(files->lock, F_SETLK, &lock) == 0) return MN_OK;
    if (errno != EAGAIN && errno != EACCES)
        return files_fail_errno(error, files_path(files, "lock"));
    pid_t holder =
        fcntl(files->lock, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
    return files_fail(error, MN_BUSY,
                      "data directory %.300s is in use by process %d; choose another with --data",
                      files->root, (int)holder);
}

/* Nothing in it, or what only a node leaves there. The root of a volume has a lost+found. */
static bool files_is_ours(struct files *files)
{
    if (files_exists(files, "lock") || files_exists(files, "identity.key")) return true;
    int fd = openat(files->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *item;
    bool is_empty = listing != NULL;
    while (is_empty && (item = readdir(listing)) != NULL)
        is_empty = strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
                   strcmp(item->d_name, "lost+found") == 0;
    if (listing != NULL)
        closedir(listing);
    else if (fd >= 0)
        close(fd);
    return is_empty;
}

static mn_status files_own(struct files *files, struct files_error *error)
{
    struct stat info;
    if (fstat(files->directory, &info) != 0) return files_fail_errno(error, files->root);
    if (info.st_uid != geteuid())
        return files_fail(error, MN_DENIED,
                          "data directory %.300s belongs to user %u, this is user %u", files->root,
                          (unsigned)info.st_uid, (unsigned)geteuid());
    if ((info.st_mode & FILES_OTHERS) == 0) return MN_OK;
    if (!files_is_ours(files)) /* "--data /tmp" must not shut everybody else out of it */
        return files_fail(error, MN_DENIED,
                          "%.300s holds other things and others may enter it (mode %04o): give "
                          "--data a directory of its own, or chmod 700 this one",
                          files->root, (unsigned)info.st_mode & 07777);
    return fchmod(files->directory, 0700) == 0 ? MN_OK : files_fail_errno(error, files->root);
}

mn_status files_open(const char *path, struct files **ret, struct files_error *error)
{
    if (path[0] == '\0' || strlen(path) >= FILES_PATH_SIZE)
        return files_fail(error, MN_IO, "the data directory's path is empty or too long");
    struct files *files = mn_alloc(sizeof *files);
    files->lock = -1;
    snprintf(files->root, sizeof files->root, "%s", path);
    files->directory = -1;
    mn_status status = MN_OK;
    if (files_make_directory(path))
        files->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->directory < 0) status = files_fail_errno(error, path);
    if (status == MN_OK) status = files_own(files, error);
    if (status == MN_OK) status = files_lock(files, error);
    if (status == MN_OK)
        *ret = files;
    else
        files_close(files);
    return status;
}

void files_close(struct files *files)
{
    if (files == NULL) return;
    if (files->lock >= 0) close(files->lock);
    if (files->directory >= 0) close(files->directory);
    mn_free(files);
}

const char *files_path(struct files *files, const char *name)
{
    snprintf(files->path, sizeof files->path, "%s/%s", files->root, name);
    return files->path;
}

bool files_exists(struct files *files, const char *name)
{
    struct stat info;
    return fstatat(files->directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- writing ---- */

/* A synced file of mode 0600 under a name of its own. */
static bool files_write_aside(struct files *files, const char *aside, struct mn_span bytes)
{
    if (unlinkat(files->directory, aside, 0) != 0 && errno != ENOENT) return false;
    int fd =
        openat(files->directory, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool is_done = files_write_all(fd, bytes) && fsync(fd) == 0;
    int code = errno;
    close(fd);
    errno = code;
    return is_done;
}

static mn_status files_replace(struct files *files, const char *name, struct mn_span bytes,
                               unsigned rename_flags, struct files_error *error)
{
    char aside[FILES_NAME_SIZE + 8];
    MN_ASSERT(strlen(name) < FILES_NAME_SIZE && strchr(name, '/') == NULL);
    snprintf(aside, sizeof aside, "%s.new", name);
    if (files_write_aside(files, aside, bytes) &&
        renameat2(files->directory, aside, files->directory, name, rename_flags) == 0 &&
        fsync(files->directory) == 0)
        return MN_OK;
    return files_fail_errno(error, files_path(files, name));
}

mn_status files_write(struct files *files, const char *name, struct mn_span bytes,
                      struct files_error *error)
{
    if (bytes.data != NULL) return files_replace(files, name, bytes, 0, error);
    if (unlinkat(files->directory, name, 0) == 0 || errno == ENOENT) return MN_OK;
    return files_fail_errno(error, files_path(files, name));
}

/* ---- secrets ---- */

static mn_status files_check_secret(struct files *files, const char *name, int fd, size_t size,
                                    struct files_error *error)
{
    struct stat info;
    const char *path = files_path(files, name);
    if (fstat(fd, &info) != 0) return files_fail_errno(error, path);
    if (!S_ISREG(info.st_mode)) return files_fail(error, MN_DENIED, "%.300s: not a file", path);
    if (info.st_uid != geteuid())
        return files_fail(error, MN_DENIED, "%.300s: belongs to user %u, this is user %u", path,
                          (unsigned)info.st_uid, (unsigned)geteuid());
    if ((info.st_mode & FILES_OTHERS) != 0)
        return files_fail(error, MN_DENIED,
                          "%.300s: others may read it (mode %04o); if nobody did: chmod 600", path,
                          (unsigned)info.st_mode & 07777);
    if (info.st_size != (off_t)size)
        return files_fail(error, MN_DENIED, "%.300s: has %lld bytes instead of %zu", path,
                          (long long)info.st_size, size);
    return MN_OK;
}

static mn_status files_read_secret(struct files *files, const char *name, int fd, size_t size,
                                   uint8_t *ret, struct files_error *error)
{
    mn_status status = files_check_secret(files, name, fd, size, error);
    if (status != MN_OK) return status;
    ssize_t got = pread(fd, ret, size, 0);
    if (got == (ssize_t)size) return MN_OK;
    if (got >= 0) errno = EIO;
    return files_fail_errno(error, files_path(files, name));
}

mn_status files_secret(struct files *files, const char *name, const uint8_t *fresh, size_t size,
                       uint8_t *ret, bool *ret_is_new, struct files_error *error)
{
    int fd = openat(files->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        mn_status status = files_read_secret(files, name, fd, size, ret, error);
        close(fd);
        if (status == MN_OK) *ret_is_new = false;
        return status;
    }
    if (errno == ELOOP)
        return files_fail(error, MN_DENIED, "%.300s: is a symbolic link", files_path(files, name));
    if (errno != ENOENT) return files_fail_errno(error, files_path(files, name));
    /* Not over one that has appeared meanwhile. */
    mn_status status = files_replace(files, name, mn_span(fresh, size), RENAME_NOREPLACE, error);
    if (status != MN_OK) return status;
    memcpy(ret, fresh, size);
    *ret_is_new = true;
    return MN_OK;
}

/* ---- reading ---- */

static mn_status files_read_all(int fd, size_t size_max, struct mn_buf **ret)
{
    struct mn_writer writer = {0};
    for (;;) {
        size_t room = size_max - mn_writer_size(&writer);
        uint8_t chunk[4096];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        mn_status status = got < 0 ? MN_IO : (size_t)got > room ? MN_TOO_BIG : MN_OK;
        if (status == MN_OK) mn_writer_add(&writer, mn_span(chunk, (size_t)got));
        explicit_bzero(chunk, sizeof chunk);
        if (status != MN_OK) mn_writer_drop(&writer);
        if (status != MN_OK) return status;
        if (got > 0) continue;
        *ret = mn_writer_done(&writer);
        return MN_OK;
    }
}

mn_status files_read(const char *path, size_t size_max, struct mn_buf **ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not stop us */
    if (fd < 0) return errno == ENOENT ? MN_NOT_FOUND : MN_IO;
    mn_status status = files_read_all(fd, size_max, ret);
    int code = errno;
    close(fd);
    errno = code;
    return status;
}
