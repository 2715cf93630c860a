#include "node/io/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/check.h"

#define PROCESS_NAME_SIZE 32
#define PROCESS_LISTEN_STATE 0x0a /* TCP_LISTEN in /proc/net/tcp */
#define PROCESS_SOCKETS_MAX 16
#define PROCESS_DESCRIPTORS ((rlim_t)16384)

/* Shells give 1,024 descriptors at most until asked for more; a node may hold more connections. */
static void process_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    rlim_t wanted = limit.rlim_max < PROCESS_DESCRIPTORS ? limit.rlim_max : PROCESS_DESCRIPTORS;
    if (limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void process_harden(bool is_dev)
{
    process_raise_descriptors();
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    if (!is_dev) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

bool process_lock(const void *at, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)at & ~(page - 1);
    uintptr_t end = ((uintptr_t)at + size + page - 1) & ~(page - 1);
    bool is_hidden = madvise((void *)first, end - first, MADV_DONTDUMP) == 0;
    return mlock(at, size) == 0 && is_hidden;
}

void process_random(void *to, size_t size)
{
    uint8_t *bytes = to;
    while (size > 0) {
        ssize_t got = getrandom(bytes, size, 0);
        MN_ASSERT(got > 0 || errno == EINTR);
        if (got <= 0) continue;
        bytes += got;
        size -= (size_t)got;
    }
}

/* ---- process 1 ---- */

static int process_exit_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Everything that ends is reaped; the rest is handed on to the one child that matters. */
static _Noreturn void process_serve_as_init(pid_t child, const sigset_t *signals)
{
    for (;;) {
        siginfo_t info;
        if (sigwaitinfo(signals, &info) < 0) continue;
        if (info.si_signo != SIGCHLD) {
            kill(child, info.si_signo);
            continue;
        }
        int status = 0;
        pid_t ended;
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
            if (ended == child) _exit(process_exit_code(status));
        }
    }
}

void process_be_init(void)
{
    sigset_t signals, before;
    if (getpid() != 1) return;
    sigfillset(&signals);
    sigprocmask(SIG_BLOCK, &signals, &before);
    pid_t child = fork();
    MN_ASSERT(child >= 0);
    if (child > 0) process_serve_as_init(child, &signals);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setsid();
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* ---- the service manager ---- */

void process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@')) return;
    size_t size = strlen(path);
    if (size >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, size);
    if (path[0] == '@') address.sun_path[0] = '\0'; /* abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    close(fd);
}

/* ---- who holds a port ---- */

struct process_sockets {
    unsigned long inodes[PROCESS_SOCKETS_MAX];
    uint32_t count;
};

static void process_find_sockets(const char *table, uint16_t port, struct process_sockets *sockets)
{
    char line[512];
    FILE *file = fopen(table, "re");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL && sockets->count < PROCESS_SOCKETS_MAX) {
        unsigned local_port, state;
        unsigned long inode;
        int found =
            sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*d %lu",
                   &local_port, &state, &inode);
        if (found == 3 && state == PROCESS_LISTEN_STATE && local_port == port)
            sockets->inodes[sockets->count++] = inode;
    }
    fclose(file);
}

static bool process_has_socket(const char *pid, const struct process_sockets *sockets)
{
    char path[300], link[64];
    bool is_found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    if (directory == NULL) return false;
    const struct dirent *entry;
    while (!is_found && (entry = readdir(directory)) != NULL) {
        unsigned long inode;
        ssize_t size = readlinkat(dirfd(directory), entry->d_name, link, sizeof link - 1);
        if (size <= 0) continue;
        link[size] = '\0';
        if (sscanf(link, "socket:[%lu]", &inode) != 1) continue;
        for (uint32_t i = 0; i < sockets->count; i++)
            is_found = is_found || sockets->inodes[i] == inode;
    }
    closedir(directory);
    return is_found;
}

static void process_describe(const char *pid, char *text, size_t size)
{
    char path[300], name[PROCESS_NAME_SIZE] = "";
    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(name, sizeof name, file) != NULL) name[strcspn(name, "\n")] = '\0';
    if (file != NULL) fclose(file);
    snprintf(text, size, "process %.20s (%s)", pid, name[0] == '\0' ? "?" : name);
}

const char *process_of_port(uint16_t port)
{
    static char text[96];
    struct process_sockets sockets = {.count = 0};
    const struct dirent *entry;
    snprintf(text, sizeof text, "another process");
    process_find_sockets("/proc/net/tcp", port, &sockets);
    process_find_sockets("/proc/net/tcp6", port, &sockets);
    DIR *directory = opendir("/proc");
    if (directory == NULL) return text;
    while ((entry = readdir(directory)) != NULL) {
        if (!isdigit((unsigned char)entry->d_name[0])) continue;
        if (!process_has_socket(entry->d_name, &sockets)) continue;
        process_describe(entry->d_name, text, sizeof text);
        break;
    }
    closedir(directory);
    return text;
}
