#include "node/mcp/upstream/upstream_askable.h"

#include "proto/base/check.h"

/* What can be asked, and the capability it takes, perhaps with a member. What begins with a task at
 * the client (2025-11-25) takes a member of the capability "tasks". */
static const struct {
    const char *method, *capability, *member, *tasks;
} kinds[] = {{"sampling/createMessage", "sampling", NULL, "createMessage"},
             {"elicitation/create", "elicitation", NULL, "create"},
             {"roots/list", "roots", NULL, NULL},
             {"tasks/get", "tasks", "requests", NULL},
             {"tasks/result", "tasks", "requests", NULL},
             {"tasks/cancel", "tasks", "cancel", NULL},
             {"tasks/list", "tasks", "list", NULL}};

#define KINDS_COUNT (sizeof kinds / sizeof *kinds)
#define KIND_ELICITATION 1
#define KIND_TASK_RESULT 4

static size_t upstream_askable_kind(struct mn_span method)
{
    size_t kind = 0;

    while (kind < KINDS_COUNT && !mn_span_is(method, kinds[kind].method))
        kind++;
    return kind;
}

const char *upstream_askable_capability(struct mn_span method)
{
    size_t kind = upstream_askable_kind(method);

    MN_ASSERT(kind < KINDS_COUNT);
    return kinds[kind].capability;
}

bool upstream_askable_is_elicitation(struct mn_span method)
{
    return upstream_askable_kind(method) == KIND_ELICITATION;
}

bool upstream_askable_is_by_url(const struct json *params)
{
    return mn_span_is(json_text(json_find_str(params, "mode")), "url");
}

/* A client that says nothing of modes has forms. */
static bool upstream_askable_has_mode(const struct json *elicitation, const struct json *params)
{
    bool has_url = json_find_str(elicitation, "url") != NULL;

    if (upstream_askable_is_by_url(params)) return has_url;
    return !has_url || json_find_str(elicitation, "form") != NULL;
}

bool upstream_askable_may(struct upstream_host *host, struct mn_span capabilities,
                          struct mn_span method, const struct json *params)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 2, JSON_NODES_MAX};
    size_t kind = upstream_askable_kind(method);
    const struct json *all, *capability;

    if (kind == KINDS_COUNT ||
        json_parse_copy(host->parser, capabilities, limits, &host->scratch, &all) != MN_OK)
        return false;
    capability = json_find_str(all, kinds[kind].capability);
    if (!json_is(capability, JSON_OBJECT)) return false;
    if (kinds[kind].member != NULL) return json_find_str(capability, kinds[kind].member) != NULL;
    return kind != KIND_ELICITATION || upstream_askable_has_mode(capability, params);
}

bool upstream_askable_is_patient(struct mn_span method)
{
    return upstream_askable_kind(method) == KIND_TASK_RESULT;
}

bool upstream_askable_is_cancelled(struct upstream *lease, struct mn_span method,
                                   const struct json *params)
{
    const struct json_limits limits = {JSON_DEPTH_MAX, 4, JSON_NODES_MAX};
    size_t kind = upstream_askable_kind(method);
    const struct json *all, *requests;

    if (kind != KIND_ELICITATION) return false;
    if (json_find_str(params, "task") == NULL ||
        json_parse_copy(lease->host->parser, mn_buf_span(lease->lease.capabilities), limits,
                        &lease->host->scratch, &all) != MN_OK)
        return true;
    requests = json_find_str(json_find_str(all, "tasks"), "requests");
    return json_find_str(json_find_str(requests, kinds[kind].capability), kinds[kind].tasks) ==
           NULL;
}
