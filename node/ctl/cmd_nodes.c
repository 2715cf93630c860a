/* nodes: who is in the mesh. */
#include <string.h>
#include <time.h>

#include "node/ctl/ctl.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define WAIT_PERIOD_MS 50    /* between two looks */
#define WAIT_REQUEST_MS 5000 /* for one look */
#define WAIT_COUNT_MAX 10000

static const struct ctl_column node_columns[] = {
    {"NAME", "name", CTL_AS_TEXT, false},
    {"ID", "id", CTL_AS_ID, false},
    {"STATUS", "status", CTL_AS_STATE, false},
    {"ROLE", "role", CTL_AS_TEXT, false},
    {"REGION", "region", CTL_AS_TEXT, false},
    {"LINK", "link.address", CTL_AS_TEXT, false},
    {"RTT", "link.rtt_ms", CTL_AS_MS, false},
    {"TOOLS", "tools", CTL_AS_TEXT, false},
    {"VERSION", "version", CTL_AS_TEXT, false},
    {"UPTIME", "since_ms", CTL_AS_AGE, false},
    {"INCARNATION", "incarnation", CTL_AS_TEXT, true},
    {"QUEUED", "link.queued_bytes", CTL_AS_TEXT, true},
    {"GRANT-UNTIL", "grant_expires", CTL_AS_TIME, true},
};

static int nodes_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, "/v1/nodes", &root);

    return status == CTL_OK ? ctl_print_list(ctl, root, node_columns, COUNT(node_columns)) : status;
}

int ctl_nodes(struct ctl *ctl)
{
    return ctl_watch(ctl, nodes_once);
}

static int show_once(struct ctl *ctl)
{
    const struct json *root;
    int status = ctl_get(ctl, ctl_path(ctl, "/v1/nodes/", ctl->args[0], ""), &root);

    return status == CTL_OK ? ctl_print_object(ctl, root) : status;
}

int ctl_nodes_show(struct ctl *ctl)
{
    return ctl_watch(ctl, show_once);
}

/* ---- waiting ---- */

struct wait {
    uint64_t count; /* wanted */
    bool must_be_ready;
    bool has_answer; /* the node was reached, the last time */
    bool is_ready;
    uint64_t alive;
    uint64_t begin_ms;
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* One look. A node that is not there yet is what is waited for; one that refuses is not. */
static int wait_look(struct ctl *ctl, struct wait *wait)
{
    const struct ctl_request request = {.method = "GET", .path = "/v1/status"};
    struct ctl_answer answer;
    const struct json *root;
    int status = ctl_http(ctl, &request, &answer);

    wait->has_answer = status == CTL_OK;
    if (status == CTL_DENIED || status == CTL_USAGE) return ctl_tell_failure(ctl, status);
    if (status != CTL_OK) return CTL_OK;
    root = ctl_parse_json(ctl, mn_buf_span(answer.body));
    mn_buf_unref(answer.body);
    if (answer.status >= 400 && answer.status != 503)
        return ctl_tell_refusal(ctl, answer.status, root);
    wait->alive = (uint64_t)ctl_number(root, "mesh.alive");
    wait->is_ready = ctl_is_true(root, "node.ready");
    mn_arena_reset(&ctl->arena);
    return CTL_OK;
}

static bool wait_is_over(const struct wait *wait)
{
    return wait->has_answer && wait->alive >= wait->count &&
           (!wait->must_be_ready || wait->is_ready);
}

static int wait_timed_out(struct ctl *ctl, const struct wait *wait, uint64_t waited)
{
    if (!wait->has_answer) {
        (void)ctl_tell_failure(ctl, CTL_UNREACHABLE);
        return CTL_TIMEOUT;
    }
    return ctl_error(ctl, CTL_TIMEOUT, "timeout", "meshctl status",
                     "after %llu ms, %llu of %llu member(s) alive%s", (unsigned long long)waited,
                     (unsigned long long)wait->alive, (unsigned long long)wait->count,
                     !wait->must_be_ready ? ""
                     : wait->is_ready     ? "; this node is ready"
                                          : "; this node is not ready");
}

static int wait_done(struct ctl *ctl, const struct wait *wait, uint64_t waited)
{
    struct mn_writer writer = {0};

    if (ctl_wants_json(ctl)) {
        ctl_json_begin(&writer, "Wait");
        mn_writer_format(&writer, ",\"alive\":%llu,\"ready\":%s,\"waited_ms\":%llu",
                         (unsigned long long)wait->alive, wait->is_ready ? "true" : "false",
                         (unsigned long long)waited);
        ctl_json_end(ctl, &writer);
    } else if (!ctl->is_quiet) {
        fprintf(ctl->err, "%llu member(s) alive, this node is %s, after %llu ms\n",
                (unsigned long long)wait->alive, wait->is_ready ? "ready" : "not ready",
                (unsigned long long)waited);
    }
    return CTL_OK;
}

int ctl_nodes_wait(struct ctl *ctl)
{
    const char *count = ctl_value(ctl, "--count");
    struct wait wait = {
        .count = 1, .must_be_ready = ctl_value(ctl, "--ready") != NULL, .begin_ms = monotonic_ms()};
    uint64_t limit = ctl->timeout_ms, waited = 0;

    if (count != NULL && !ctl_parse_number(count, 1, WAIT_COUNT_MAX, &wait.count))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl nodes wait --count 3",
                         "--count %s: a number from 1 to %d", count, WAIT_COUNT_MAX);
    for (;;) {
        uint64_t left = limit == 0 ? WAIT_REQUEST_MS : limit - waited;
        ctl->timeout_ms = (unsigned)(left < WAIT_REQUEST_MS ? left : WAIT_REQUEST_MS);
        int status = wait_look(ctl, &wait);
        waited = monotonic_ms() - wait.begin_ms;
        if (status != CTL_OK) return status;
        if (wait_is_over(&wait)) return wait_done(ctl, &wait, waited);
        if (limit == 0 || waited < limit) pause_ms(WAIT_PERIOD_MS);
        waited = monotonic_ms() - wait.begin_ms;
        if (limit != 0 && waited >= limit) return wait_timed_out(ctl, &wait, waited);
    }
}
