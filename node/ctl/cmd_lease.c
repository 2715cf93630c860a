/* state lease: what keys live by. Who holds a lock shows the revision that made its key as fencing
 * token. */
#include <time.h>

#include "node/ctl/ctl.h"

#define RETRY_MS 500u

int ctl_lease_grant(struct ctl *ctl)
{
    struct mn_writer writer = {0};
    const struct json *root;
    struct mn_buf *body;
    uint64_t ttl_ms;
    int status;

    if (!ctl_parse_duration(ctl->args[0], &ttl_ms) || ttl_ms < 1000 || ttl_ms > 86400000)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state lease grant 30s",
                         "%s: a time from 1s to 24h", ctl->args[0]);
    mn_writer_format(&writer, "{\"ttl_ms\":%llu}", (unsigned long long)ttl_ms);
    body = mn_writer_done(&writer);
    status = ctl_do(ctl, "POST", ctl_state_query(ctl, "/v1/leases"), mn_buf_span(body), &root);
    mn_buf_unref(body);
    if (status != CTL_OK) return status;
    if (ctl_wants_json(ctl)) return ctl_print_object(ctl, root);
    fprintf(ctl->out, "%.0f\n", ctl_number(root, "lease"));
    return CTL_OK;
}

static const struct ctl_column lease_columns[] = {
    {"LEASE", "lease", CTL_AS_TEXT, false},      {"TIME", "ttl_ms", CTL_AS_AGE, false},
    {"LEFT", "left_ms", CTL_AS_AGE, false},      {"KEYS", "keys", CTL_AS_TEXT, false},
    {"RENEWALS", "renewals", CTL_AS_TEXT, true},
};

static int ls_once(struct ctl *ctl)
{
    const char *limit = ctl_value(ctl, "--limit"), *after = ctl_value(ctl, "--after"), *path;
    uint64_t count = 100, id = 0;
    const struct json *root;
    int status;

    if (limit != NULL && !ctl_parse_number(limit, 1, 256, &count))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state lease ls --limit 100",
                         "--limit %s: a number from 1 to 256", limit);
    if (after != NULL && !ctl_parse_number(after, 0, INT64_MAX, &id))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl state lease ls",
                         "--after %s: the number of a lease", after);
    path = mn_arena_format(&ctl->arena, "/v1/leases?after=%llu&limit=%llu", (unsigned long long)id,
                           (unsigned long long)count);
    status = ctl_get(ctl, ctl_state_query(ctl, path), &root);
    if (status != CTL_OK) return status;
    status = ctl_print_list(ctl, root, lease_columns, sizeof lease_columns / sizeof *lease_columns);
    if (status == CTL_OK && !ctl->is_quiet && *ctl_show(ctl, root, "next") != '\0')
        fprintf(ctl->err, "there is more: --after %s\n", ctl_show(ctl, root, "next"));
    return status;
}

int ctl_lease_ls(struct ctl *ctl)
{
    return ctl_watch(ctl, ls_once);
}

/* The path of the lease that is named; NULL: told. */
static const char *lease_path(struct ctl *ctl, const char *suffix)
{
    uint64_t id;

    if (ctl_parse_number(ctl->args[0], 1, INT64_MAX, &id))
        return ctl_state_query(ctl, ctl_path(ctl, "/v1/leases/", ctl->args[0], suffix));
    (void)ctl_error(ctl, CTL_USAGE, "usage", "meshctl state lease grant 30s",
                    "%s: the number of a lease", ctl->args[0]);
    return NULL;
}

int ctl_lease_revoke(struct ctl *ctl)
{
    const char *path = lease_path(ctl, "");
    const struct json *root;
    int status = CTL_USAGE;

    if (path != NULL) status = ctl_do(ctl, "DELETE", path, mn_span(NULL, 0), &root);
    if (status != CTL_OK) return status;
    return ctl_print_done(ctl, root, "lease %s is over, and its keys are gone", ctl->args[0]);
}

/* ---- renewing ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(uint64_t ms)
{
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000},
        NULL);
}

/* *ttl_ms: what the lease has, once that is known. */
static int renew(struct ctl *ctl, uint64_t *ttl_ms)
{
    const char *path = lease_path(ctl, "/renew");
    const struct json *root;
    int status = CTL_USAGE;

    if (path != NULL) status = ctl_do(ctl, "POST", path, mn_span(NULL, 0), &root);
    if (status != CTL_OK) return status;
    *ttl_ms = (uint64_t)ctl_number(root, "ttl_ms");
    if (ctl_wants_json(ctl))
        (void)ctl_print_object(ctl, root);
    else if (!ctl->is_quiet)
        fprintf(ctl->out, "lease %s is good for %s\n", ctl->args[0],
                ctl_show_age(ctl, (double)*ttl_ms));
    return fflush(ctl->out) == 0 ? CTL_OK : CTL_FAILED;
}

/* Three times in the life of the lease, until it is over: then with the reason. A node that does
 * not answer is asked again for as long as the lease may still live. */
int ctl_lease_keepalive(struct ctl *ctl)
{
    uint64_t ttl_ms = 0, renewed = now_ms(), asked;
    int status;

    for (;;) {
        asked = now_ms();
        status = renew(ctl, &ttl_ms);
        if (ctl_value(ctl, "--once") != NULL) return status;
        if (status == CTL_OK)
            renewed = asked;
        else if (status != CTL_UNREACHABLE && status != CTL_TIMEOUT)
            return status;
        else if (ttl_ms == 0 || now_ms() >= renewed + ttl_ms)
            return status;
        mn_arena_reset(&ctl->arena);
        pause_ms(status == CTL_OK ? ttl_ms / 3 : RETRY_MS);
    }
}
