#include "tests/ctl/ctl_world.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWERS_MAX 32
#define REQUEST_MAX 65536
#define WORDS_MAX 64

struct answer {
    const char *method, *target, *headers, *body;
    int status;
    bool is_cut;
};

const char *out, *err;

static char directory[64], socket_path[96];
static int listener = -1;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct answer answers[ANSWERS_MAX];
static int answers_count;
static char heard[REQUEST_MAX];
static unsigned heard_count;
static char *texts[2];

/* ---- the node ---- */

static const struct answer *find_answer(const char *request)
{
    for (int i = answers_count; i-- > 0;) {
        const struct answer *answer = &answers[i];
        size_t method = strlen(answer->method), target = strlen(answer->target);
        if (strncmp(request, answer->method, method) == 0 && request[method] == ' ' &&
            strncmp(request + method + 1, answer->target, target) == 0 &&
            request[method + 1 + target] == ' ')
            return answer;
    }
    return NULL;
}

static bool read_request(int conn, char *to)
{
    size_t size = 0, wanted = 0;

    for (;;) {
        const char *end;
        ssize_t got = recv(conn, to + size, REQUEST_MAX - 1 - size, 0);
        if (got <= 0) return false;
        size += (size_t)got;
        to[size] = '\0';
        end = strstr(to, "\r\n\r\n");
        if (end == NULL) continue;
        const char *length = strcasestr(to, "content-length:");
        wanted = (size_t)(end - to) + 4;
        if (length != NULL && length < end) wanted += strtoul(length + 15, NULL, 10);
        if (size >= wanted) return true;
    }
}

static void serve(int conn)
{
    static char request[REQUEST_MAX];
    const struct answer *answer;
    char *response = NULL;
    int size;

    while (read_request(conn, request)) {
        pthread_mutex_lock(&lock);
        memcpy(heard, request, strlen(request) + 1);
        heard_count++;
        answer = find_answer(request);
        if (answer == NULL)
            size = asprintf(&response, "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
        else if (answer->is_cut)
            size = asprintf(&response,
                            "HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "%zx\r\n%s\r\n",
                            answer->status, strlen(answer->body), answer->body);
        else
            size = asprintf(&response, "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n%s",
                            answer->status, answer->headers, strlen(answer->body), answer->body);
        bool is_last = answer != NULL && (answer->is_cut || answer->status == 0);
        bool is_silent = answer != NULL && answer->status == 0;
        pthread_mutex_unlock(&lock);
        if (!is_silent && send(conn, response, (size_t)size, MSG_NOSIGNAL) < 0) break;
        free(response);
        response = NULL;
        if (is_last) break;
    }
    free(response);
}

static void *run(void *unused)
{
    (void)unused;
    for (;;) {
        int conn = accept(listener, NULL, NULL);
        if (conn < 0) return NULL;
        serve(conn);
        close(conn);
    }
}

void fake_begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(directory, sizeof directory, "/tmp/meshctl-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(socket_path, sizeof socket_path, "%s/admin.sock", directory);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(chmod(socket_path, 0600), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    answers_count = 0;
    heard_count = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

void fake_end(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
    unlink(socket_path);
    rmdir(directory);
    for (int i = 0; i < 2; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
}

const char *fake_data(void)
{
    return directory;
}

const char *fake_socket(void)
{
    return socket_path;
}

static void add(struct answer answer)
{
    pthread_mutex_lock(&lock);
    ck_assert_int_lt(answers_count, ANSWERS_MAX);
    answers[answers_count++] = answer;
    pthread_mutex_unlock(&lock);
}

void fake_answers_with(const char *method, const char *target, int status, const char *headers,
                       const char *body)
{
    add((struct answer){method, target, headers, body, status, false});
}

void fake_answers(const char *method, const char *target, int status, const char *body)
{
    fake_answers_with(method, target, status, "Content-Type: application/json\r\n", body);
}

void fake_cuts(const char *method, const char *target, const char *body)
{
    add((struct answer){method, target, "", body, 200, true});
}

const char *fake_heard(void)
{
    return heard;
}

unsigned fake_heard_count(void)
{
    pthread_mutex_lock(&lock);
    unsigned count = heard_count;
    pthread_mutex_unlock(&lock);
    return count;
}

/* ---- meshctl ---- */

int meshctl_with(struct ctl ctl, const char *line)
{
    static char copy[4096], program[] = "meshctl";
    char *words[WORDS_MAX] = {program};
    size_t sizes[2];
    int count = 1, status;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word == '\0') continue;
        for (char *at = word; *at != '\0'; at++)
            if (*at == '\001') *at = ' ';
        ck_assert_int_lt(count, WORDS_MAX - 1);
        words[count++] = word;
    }
    free(texts[0]);
    free(texts[1]);
    ctl.out = open_memstream(&texts[0], &sizes[0]);
    ctl.err = open_memstream(&texts[1], &sizes[1]);
    status = ctl_main(&ctl, count, words);
    fclose(ctl.out);
    fclose(ctl.err);
    out = texts[0];
    err = texts[1];
    return status;
}

int meshctl(const char *line)
{
    return meshctl_with((struct ctl){.data = directory}, line);
}
