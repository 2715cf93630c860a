/* Being process 1, telling the service manager, finding who holds a port. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/process.h"
#include "tests/suite.h"

START_TEST(the_service_manager_is_told)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[64] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/meshnode-notify-%d", (int)getpid());
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    process_notify("READY=1");
    ck_assert_int_eq(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 7);
    ck_assert_str_eq(got, "READY=1");
    unlink(address.sun_path);
    close(fd);
    process_notify("READY=1"); /* nobody listens: no harm */
    unsetenv("NOTIFY_SOCKET");
    process_notify("READY=1");
}
END_TEST

START_TEST(the_holder_of_a_port_is_named)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char expected[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    snprintf(expected, sizeof expected, "process %d (test_process)", (int)getpid());
    ck_assert_str_eq(process_of_port(ntohs(address.sin_port)), expected);
    close(fd);
    ck_assert_str_eq(process_of_port(ntohs(address.sin_port)), "another process");
}
END_TEST

START_TEST(random_bytes_differ)
{
    uint8_t a[32] = {0}, b[32] = {0};
    process_random(a, sizeof a);
    process_random(b, sizeof b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(a_hardened_process_cannot_be_dumped_or_die_of_a_pipe)
{
    int pipes[2];
    process_harden(true);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 1);
    process_harden(false);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE), 0);
    ck_assert_int_eq(pipe(pipes), 0);
    close(pipes[0]);
    ck_assert_int_eq(write(pipes[1], "x", 1), -1);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

static volatile sig_atomic_t has_stopped;

static void on_term(int number)
{
    (void)number;
    has_stopped = 1;
}

/* What the program does as process 1: leaves an orphan, then waits for a signal. */
static _Noreturn void serve_as_process_1(int report)
{
    process_be_init();
    if (getpid() == 1) _exit(99); /* the one that stays behind never comes back */
    signal(SIGTERM, on_term);
    pid_t parent = fork();
    if (parent == 0) {
        pid_t orphan = fork();
        if (orphan == 0) usleep(20000);
        _exit(0);
    }
    waitpid(parent, NULL, 0);
    usleep(100000);
    /* The orphan has ended; had nobody reaped it, a signal could still be sent to it. */
    bool is_reaped = kill(parent + 1, 0) != 0;
    if (write(report, is_reaped ? "y" : "n", 1) != 1) _exit(98);
    while (!has_stopped)
        usleep(1000);
    _exit(7);
}

/* In a child of its own, for the namespace is of no use once its process 1 has ended. */
static _Noreturn void watch_process_1(void)
{
    int pipes[2], status = 0;
    char answer = '?';
    if (pipe(pipes) != 0) _exit(1);
    if (unshare(CLONE_NEWPID) != 0) _exit(2);
    pid_t child = fork();
    if (child == 0) serve_as_process_1(pipes[1]);
    if (read(pipes[0], &answer, 1) != 1 || answer != 'y') _exit(3);
    kill(child, SIGTERM);
    if (waitpid(child, &status, 0) != child) _exit(4);
    _exit(WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0 : 5);
}

START_TEST(as_process_1_it_reaps_orphans_and_hands_on_signals_and_the_exit_code)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) watch_process_1();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2) {
        fprintf(stderr, "SKIPPED: making a process namespace needs root\n");
        return;
    }
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("process");
    tcase_set_timeout(tcase, 20);
    tcase_add_test(tcase, the_service_manager_is_told);
    tcase_add_test(tcase, the_holder_of_a_port_is_named);
    tcase_add_test(tcase, random_bytes_differ);
    tcase_add_test(tcase, a_hardened_process_cannot_be_dumped_or_die_of_a_pipe);
    tcase_add_test(tcase, as_process_1_it_reaps_orphans_and_hands_on_signals_and_the_exit_code);
    Suite *suite = suite_create("process");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
