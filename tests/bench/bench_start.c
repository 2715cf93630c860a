/* bench_start: starts a node and asks it until it answers. Prints "INITIALIZE-US READYZ-US", each
 * counted from the exec: the first answered `initialize`, the first 200 from /readyz. A refused
 * connection is tried again every 200 us, so the figures are coarse by that much.
 * usage: bench_start PORT PROGRAM [ARGUMENTS...] */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench_sink.h"

#define RETRY_US 200
#define GIVE_UP_NS 20000000000u

static const char body[] =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
    "\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}";

/* One request on a connection of its own; is the answer 200? */
static bool ask(uint16_t port, const char *request, size_t size)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    char answer[16] = "";
    size_t have = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_sent = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
                   send(fd, request, size, MSG_NOSIGNAL) == (ssize_t)size;

    while (is_sent && have < 12) {
        ssize_t got = read(fd, answer + have, sizeof answer - 1 - have);
        if (got <= 0) break;
        have += (size_t)got;
    }
    close(fd);
    return have >= 12 && memcmp(answer + 8, " 200", 4) == 0;
}

static uint64_t ask_until(uint16_t port, const char *request, size_t size, uint64_t begin)
{
    while (!ask(port, request, size)) {
        if (bench_now_ns() - begin > GIVE_UP_NS) return 0;
        usleep(RETRY_US);
    }
    return (bench_now_ns() - begin) / 1000;
}

int main(int argc, char **argv)
{
    char request[1024];
    static const char readyz[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    uint64_t begin, initialized, ready;
    int size, status;
    uint16_t port;
    pid_t child;

    if (argc < 3) {
        fprintf(stderr, "usage: %s PORT PROGRAM [ARGUMENTS...]\n", argv[0]);
        return 2;
    }
    port = (uint16_t)atoi(argv[1]);
    size = snprintf(request, sizeof request,
                    "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Accept: application/json, text/event-stream\r\nContent-Length: %zu\r\n\r\n%s",
                    sizeof body - 1, body);
    begin = bench_now_ns();
    child = fork();
    if (child < 0) return EXIT_FAILURE;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execv(argv[2], argv + 2);
        _exit(127);
    }
    initialized = ask_until(port, request, (size_t)size, begin);
    ready = ask_until(port, readyz, sizeof readyz - 1, begin);
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    if (initialized == 0 || ready == 0) {
        fprintf(stderr, "%s: no answer within 20 s\n", argv[2]);
        return EXIT_FAILURE;
    }
    printf("%llu %llu\n", (unsigned long long)initialized, (unsigned long long)ready);
    return EXIT_SUCCESS;
}
