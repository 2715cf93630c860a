/* meshnode-child: keeps one program and everything it starts under control. It runs between a node
 * and each of its child processes, with libc alone.
 *
 *   meshnode-child [--cwd DIR] -- PROGRAM [ARGUMENT...]
 *
 * Descriptor 3 is a stream to the node. From it: 'T' sends TERM to the program's process group, 'K'
 * kills everything; its end, which the kernel brings about however the node dies, does the same. To
 * it: one line of text when the program cannot be started. Exit code: that of the program, 128 and
 * the signal that ended it, 127 when there is no such program, 126 when it cannot be run.
 *
 * The program leads a session and a group of its own. This process is the subreaper: whatever a
 * descendant does, it ends up as a child of this process when its parent is gone, and so it is
 * found. When the program ends, all that is left of it is killed and reaped before we exit. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL_FD 3
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_RUNNABLE 126

/* Between two looks at descendants that were killed and are not gone yet, and how many looks: one
 * that we may not kill (it gained another user's rights) is left to init. */
#define REAP_INTERVAL_MS 5
#define REAP_LOOKS_MAX 2000

struct supervisor {
    const char *cwd; /* NULL: stay */
    char **argv;
    int signals;   /* signalfd: CHLD, and what is meant for the program */
    pid_t program; /* 0: ended */
    int code;
    bool is_killing;
};

_Noreturn static void fail(int code, const char *what, const char *why)
{
    char text[1024];
    int size = snprintf(text, sizeof text, "%s: %s\n", what, why);
    if (size > (int)sizeof text - 1) size = (int)sizeof text - 1;
    if (write(CONTROL_FD, text, (size_t)size) < 0) code = EXIT_NOT_RUNNABLE; /* nobody listens */
    exit(code);
}

static void parse(struct supervisor *self, int argc, char **argv)
{
    int at = 1;
    if (at + 1 < argc && strcmp(argv[at], "--cwd") == 0) {
        self->cwd = argv[at + 1];
        at += 2;
    }
    if (at + 1 >= argc || strcmp(argv[at], "--") != 0) {
        fprintf(stderr, "usage: meshnode-child [--cwd DIR] -- PROGRAM [ARGUMENT...]\n"
                        "A helper of meshnode; it is not meant to be started by hand.\n");
        exit(64);
    }
    self->argv = argv + at + 1;
}

/* Signals come through a descriptor; the program gets them unblocked. */
static void take_signals(struct supervisor *self, sigset_t *old)
{
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGHUP);
    sigprocmask(SIG_BLOCK, &taken, old);
    self->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    signal(SIGPIPE, SIG_IGN);
}

/* In the child: becomes the program, or writes errno to [report]. */
_Noreturn static void become(const struct supervisor *self, const sigset_t *mask, int report)
{
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* should this supervisor itself be killed */
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(self->argv[0], self->argv);
    int error = errno;
    if (write(report, &error, sizeof error) < 0) _exit(EXIT_NOT_RUNNABLE);
    _exit(EXIT_NOT_FOUND);
}

/* Starts the program and waits until it runs; does not return when it cannot. */
static void start(struct supervisor *self, const sigset_t *mask)
{
    int report[2], error = 0;
    if (self->cwd != NULL && chdir(self->cwd) != 0)
        fail(EXIT_NOT_RUNNABLE, self->cwd, strerror(errno));
    if (pipe2(report, O_CLOEXEC) != 0) fail(EXIT_NOT_RUNNABLE, "pipe", strerror(errno));
    self->program = fork();
    if (self->program < 0) fail(EXIT_NOT_RUNNABLE, "fork", strerror(errno));
    if (self->program == 0) become(self, mask, report[1]);
    close(report[1]);
    ssize_t size = read(report[0], &error, sizeof error); /* end of file: it runs */
    close(report[0]);
    if (size != sizeof error) return;
    waitpid(self->program, NULL, 0);
    if (error == ENOENT) fail(EXIT_NOT_FOUND, "command not found", self->argv[0]);
    fail(EXIT_NOT_RUNNABLE, self->argv[0], strerror(error));
}

/* The standard streams belong to the program alone: their ends are its ends. */
static void let_go_of_streams(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++) {
        if (null >= 0)
            dup2(null, fd);
        else
            close(fd);
    }
    if (null > CONTROL_FD) close(null);
}

/* Collects who ended; false: there is nobody left. */
static bool reap(struct supervisor *self)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != self->program) continue;
        self->program = 0;
        self->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return pid == 0;
}

/* The parent of process [pid]; 0 when there is no such process. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return 0;
    text[size] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    int parent = 0;
    if (name_end == NULL || sscanf(name_end + 1, " %*c %d", &parent) != 1) return 0;
    return parent;
}

static void kill_children(void)
{
    DIR *all = opendir("/proc");
    if (all == NULL) return;
    for (struct dirent *entry; (entry = readdir(all)) != NULL;) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        if (parent_of(entry->d_name) == getpid()) kill((pid_t)atoi(entry->d_name), SIGKILL);
    }
    closedir(all);
}

/* Kills and reaps until there is nobody left: orphans of what was killed come to us one by one. */
static void kill_all(struct supervisor *self)
{
    if (self->program > 0) kill(-self->program, SIGKILL);
    for (int looks = 0; reap(self) && looks < REAP_LOOKS_MAX; looks++) {
        kill_children();
        if (reap(self)) poll(NULL, 0, REAP_INTERVAL_MS);
    }
}

static void on_signals(struct supervisor *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD && self->program > 0)
            kill(-self->program, (int)info.ssi_signo);
    }
    reap(self);
}

static void on_control(struct supervisor *self)
{
    char command;
    ssize_t size = read(CONTROL_FD, &command, 1);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (size <= 0 || command == 'K')
        self->is_killing = true;
    else if (command == 'T' && self->program > 0)
        kill(-self->program, SIGTERM);
}

int main(int argc, char **argv)
{
    struct supervisor self = {.code = EXIT_NOT_RUNNABLE};
    sigset_t mask;
    parse(&self, argc, argv);
    if (fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC) != 0) return self.code; /* no node */
    close_range(CONTROL_FD + 1, ~0U, 0);
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    take_signals(&self, &mask);
    start(&self, &mask);
    let_go_of_streams();
    reap(&self);
    while (self.program > 0 && !self.is_killing) {
        struct pollfd polled[2] = {{.fd = self.signals, .events = POLLIN},
                                   {.fd = CONTROL_FD, .events = POLLIN}};
        if (poll(polled, 2, -1) < 0) continue;
        if (polled[0].revents != 0) on_signals(&self);
        if (polled[1].revents != 0) on_control(&self);
    }
    kill_all(&self);
    return self.code;
}
