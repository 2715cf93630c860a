#include "node/io/seglog_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define NAME_SIZE 4096
#define ZEROS_SIZE ((size_t)256 << 10)
#define IOV_MAX_USED 64

static bool files_fail(struct seglog_files *files, const char *what, const char *name, int code)
{
    snprintf(files->text, sizeof files->text, "%s %.400s: %s", what, name, strerror(code));
    return false;
}

static void files_name(char name[NAME_SIZE], const char *path, uint32_t slot, const char *end)
{
    snprintf(name, NAME_SIZE, "%s/%03u.%s", path, slot, end);
}

/* ---- opening ---- */

static bool files_lock(struct seglog_files *files)
{
    char name[NAME_SIZE];
    int code;

    if (mkdir(files->path, 0700) != 0 && errno != EEXIST)
        return files_fail(files, "make", files->path, errno);
    snprintf(name, sizeof name, "%s/lock", files->path);
    files->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (files->lock < 0) return files_fail(files, "open", name, errno);
    if (flock(files->lock, LOCK_EX | LOCK_NB) == 0) return true;
    code = errno;
    if (code != EWOULDBLOCK) return files_fail(files, "lock", name, code);
    snprintf(files->text, sizeof files->text, "%s: in use by another process", files->path);
    return false;
}

static bool files_open_one(struct seglog_files *files, const char *entry)
{
    char name[NAME_SIZE], rest[8];
    unsigned slot;
    int fd;

    snprintf(name, sizeof name, "%s/%s", files->path, entry);
    if (sscanf(entry, "%3u.%7s", &slot, rest) != 2 || slot >= SEGLOG_SLOTS_MAX) return true;
    if (strcmp(rest, "new") == 0) { /* one that was being made */
        unlink(name);
        return true;
    }
    if (strcmp(rest, "seg") != 0) return true;
    fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return files_fail(files, "open", name, errno);
    files->fds[slot] = fd;
    return true;
}

void seglog_files_init(struct seglog_files *files, const char *path)
{
    files->path = mn_alloc(strlen(path) + 1);
    memcpy(files->path, path, strlen(path));
    files->lock = -1;
    for (uint32_t i = 0; i < SEGLOG_SLOTS_MAX; i++)
        files->fds[i] = -1;
}

bool seglog_files_open(struct seglog_files *files)
{
    struct dirent *entry;
    bool is_good = true;
    DIR *folder;

    if (!files_lock(files)) return false;
    folder = opendir(files->path);
    if (folder == NULL) return files_fail(files, "read", files->path, errno);
    while (is_good && (entry = readdir(folder)) != NULL)
        is_good = files_open_one(files, entry->d_name);
    closedir(folder);
    return is_good;
}

void seglog_files_close(struct seglog_files *files)
{
    for (uint32_t i = 0; i < SEGLOG_SLOTS_MAX; i++)
        if (files->fds[i] >= 0) close(files->fds[i]);
    if (files->lock >= 0) close(files->lock);
    mn_free(files->path);
}

/* What was read before is not kept: no need to move it. */
static void files_reserve(struct seglog_bytes *bytes, size_t size)
{
    bytes->size = 0;
    if (size <= bytes->capacity) return;
    mn_free(bytes->data);
    bytes->data = mn_alloc(size);
    bytes->capacity = size;
}

int seglog_file_read(int fd, struct seglog_bytes *bytes)
{
    struct stat stat;
    size_t at = 0;

    bytes->size = 0;
    if (fstat(fd, &stat) != 0) return errno;
    if (stat.st_size < 0 || stat.st_size > (off_t)SEGMENT_SIZE_MAX) return EFBIG;
    files_reserve(bytes, (size_t)stat.st_size);
    while (at < (size_t)stat.st_size) {
        ssize_t got = pread(fd, bytes->data + at, (size_t)stat.st_size - at, (off_t)at);
        int code = got < 0 ? errno : EIO;
        if (got > 0)
            at += (size_t)got;
        else if (got == 0 || code != EINTR)
            return code;
    }
    bytes->size = at;
    return 0;
}

bool seglog_files_read(struct seglog_files *files, uint32_t slot, struct seglog_bytes *bytes)
{
    int code = seglog_file_read(files->fds[slot], bytes);
    char name[NAME_SIZE];

    if (code == 0) return true;
    files_name(name, files->path, slot, "seg");
    return files_fail(files, "read", name, code);
}

/* ---- making ---- */

static int files_fill(int fd, uint32_t size)
{
    uint8_t *zeros;
    int code = posix_fallocate(fd, 0, size);

    if (code != 0) return code;
    zeros = mn_alloc(ZEROS_SIZE);
    for (uint32_t at = 0; at < size && code == 0;) {
        size_t most = size - at < ZEROS_SIZE ? size - at : ZEROS_SIZE;
        ssize_t put = pwrite(fd, zeros, most, at);
        if (put > 0)
            at += (uint32_t)put;
        else if (errno != EINTR)
            code = put < 0 ? errno : EIO;
    }
    mn_free(zeros);
    return code == 0 && fsync(fd) != 0 ? errno : code;
}

static int files_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code = 0;

    if (fd < 0) return errno;
    if (fsync(fd) != 0) code = errno;
    close(fd);
    return code;
}

int seglog_files_make(const char *path, uint32_t slot, uint32_t size, int *ret_fd)
{
    char name[NAME_SIZE], new_name[NAME_SIZE];
    int code, fd;

    files_name(name, path, slot, "seg");
    files_name(new_name, path, slot, "new");
    fd = open(new_name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return errno;
    code = files_fill(fd, size);
    if (code == 0 && rename(new_name, name) != 0) code = errno;
    if (code == 0) code = files_sync_folder(path);
    if (code == 0) {
        *ret_fd = fd;
        return 0;
    }
    unlink(new_name);
    close(fd);
    return code;
}

/* ---- writing ---- */

/* Pieces that stand one after another in one file, on their way there. */
struct files_run {
    struct iovec iov[IOV_MAX_USED];
    int count;
    uint32_t slot, offset, size;
    uint32_t synced; /* where the unsynced part of the file begins; 0: nothing is unsynced */
};

static bool files_write(struct seglog_files *files, struct files_run *run)
{
    struct iovec *iov = run->iov;
    char name[NAME_SIZE];

    while (run->count > 0) {
        ssize_t put = pwritev(files->fds[run->slot], iov, run->count, run->offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            files_name(name, files->path, run->slot, "seg");
            return files_fail(files, "write", name, put < 0 ? errno : EIO);
        }
        run->offset += (uint32_t)put;
        while (run->count > 0 && (size_t)put >= iov->iov_len) {
            put -= (ssize_t)iov->iov_len;
            iov++;
            run->count--;
        }
        if (run->count == 0) break;
        iov->iov_base = (uint8_t *)iov->iov_base + put;
        iov->iov_len -= (size_t)put;
    }
    run->size = 0;
    return true;
}

static bool files_sync(struct seglog_files *files, struct files_run *run)
{
    char name[NAME_SIZE];

    if (!files_write(files, run)) return false;
    run->synced = 0;
    if (fdatasync(files->fds[run->slot]) == 0) return true;
    files_name(name, files->path, run->slot, "seg");
    return files_fail(files, "sync", name, errno);
}

static bool files_put(struct seglog_files *files, struct files_run *run,
                      struct segcore_batch *batch, uint32_t index)
{
    const struct segcore_piece *piece = &batch->pieces[index];
    bool follows = run->count > 0 && run->slot == piece->slot &&
                   run->offset + run->size == piece->offset && run->count < IOV_MAX_USED;

    if (run->count > 0 && !follows && !files_write(files, run)) return false;
    MN_ASSERT(run->synced == 0 || run->slot == piece->slot);
    if (run->synced == 0) run->synced = piece->offset;
    if (run->count == 0) run->offset = piece->offset;
    run->slot = piece->slot;
    segcore_stamp(batch, index, run->synced);
    run->iov[run->count++] = (struct iovec){piece->bytes, piece->size};
    run->size += piece->size;
    return piece->kind == SEGCORE_FRAMES || files_sync(files, run);
}

bool seglog_files_commit(struct seglog_files *files, struct segcore_batch *const *batches,
                         uint32_t count)
{
    struct files_run run = {0};

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < batches[i]->pieces_count; k++)
            if (!files_put(files, &run, batches[i], k)) return false;
    return run.synced == 0 || files_sync(files, &run);
}

bool seglog_files_clear(struct seglog_files *files, const struct segcore_clear *clear)
{
    struct files_run run = {.slot = clear->slot, .offset = clear->offset, .count = 1};
    uint8_t *zeros;
    bool is_good;

    if (clear->size == 0) return true;
    zeros = mn_alloc(clear->size);
    run.iov[0] = (struct iovec){zeros, clear->size};
    is_good = files_sync(files, &run);
    mn_free(zeros);
    return is_good;
}
