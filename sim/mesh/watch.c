/* Watchers: clients that look at tools/list once and then only when they are told that it changed,
 * by a modern listen or a legacy session's stream. One at each host. In the end each must hold the
 * true list: a notification that was not sent shows. */
#include <stdio.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/mesh/http.h"

#define AGAIN (200 * MN_MS) /* between two tries to get a stream */
#define PATIENCE (5 * MN_SEC)

struct sim_watcher {
    struct sim_host *host;
    const char *path;
    bool is_modern;
    bool is_asked;   /* it declares all that it can: else it is shown no secrets */
    uint64_t told;   /* of changes */
    bool is_open;    /* its stream */
    bool is_listing; /* a tools/list is under way */
    bool is_stale;   /* told of a change since that was asked */
    char session[SIM_SESSION_SIZE];
    struct mn_buf *list; /* as it knows it; NULL: not yet */
    struct sim_event next;
};

struct sim_watchers {
    struct sim_watchers *before; /* of another endpoint; they go on */
    struct sim_watcher of[];     /* one per host */
};

static void watcher_open(struct sim *sim, void *context);
static void watcher_list(struct sim_watcher *watcher);

static void watcher_again(struct sim_watcher *watcher)
{
    struct sim *sim = watcher->host->sim;
    sim_at(sim, &watcher->next, sim->time + AGAIN, watcher_open, watcher);
}

static void watcher_listed(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_watcher *watcher = context;

    watcher->is_listing = false;
    if (response->is_lost || response->code != 200) return; /* its stream ends too */
    if (!watcher->is_asked && response->message.size > 0 &&
        memmem(response->message.data, response->message.size, SIM_SHY, strlen(SIM_SHY)) != NULL)
        sim_fail(sim, "a client of %s is shown what is not for it", watcher->host->name);
    mn_buf_unref(watcher->list);
    watcher->list = mn_buf_copy(response->message);
    if (watcher->is_stale) watcher_list(watcher);
}

static void watcher_list(struct sim_watcher *watcher)
{
    struct sim_request request = {.path = watcher->path,
                                  .body = mn_span_str(SIM_LIST_LEGACY),
                                  .patience = PATIENCE,
                                  .is_steadfast = true,
                                  .on_end = watcher_listed,
                                  .context = watcher};

    watcher->is_stale = watcher->is_listing;
    if (watcher->is_listing) return;
    watcher->is_listing = true;
    if (watcher->is_modern) {
        request.method = "tools/list";
        request.body =
            mn_span_str(watcher->is_asked ? SIM_LIST_MODERN_OF(SIM_CAN_ALL) : SIM_LIST_MODERN);
    } else {
        request.session = watcher->session;
    }
    sim_http_ask(watcher->host, &request);
}

static void watcher_told(struct sim *sim, void *context, struct mn_span message)
{
    struct sim_watcher *watcher = context;

    (void)message; /* that something changed, or that the listen begins */
    sim->stats.notifications++;
    watcher->told++;
    watcher_list(watcher);
}

static void watcher_closed(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_watcher *watcher = context;

    (void)sim;
    watcher->is_open = false;
    if (response->is_lost || response->code != 200) watcher->session[0] = '\0';
    watcher_again(watcher);
}

static void watcher_initialized(struct sim *sim, void *context, const struct sim_response *response)
{
    struct sim_watcher *watcher = context;

    (void)sim;
    snprintf(watcher->session, sizeof watcher->session, "%s", response->session);
    watcher_again(watcher);
}

#define LISTEN(meta)                                                                 \
    "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"subscriptions/listen\",\"params\":{" \
    "\"notifications\":{\"toolsListChanged\":true}," meta "}}"

static void watcher_listen(struct sim_watcher *watcher)
{
    struct sim_request request = {.path = watcher->path,
                                  .patience = MN_TIME_NEVER,
                                  .is_steadfast = true,
                                  .on_message = watcher_told,
                                  .on_end = watcher_closed,
                                  .context = watcher};

    watcher->is_open = true;
    if (watcher->is_modern) {
        request.method = "subscriptions/listen";
        request.body = mn_span_str(watcher->is_asked ? LISTEN(SIM_MODERN_META_OF(SIM_CAN_ALL))
                                                     : LISTEN(SIM_MODERN_META));
    } else {
        request.verb = "GET";
        request.session = watcher->session;
    }
    sim_http_ask(watcher->host, &request);
}

static void watcher_open(struct sim *sim, void *context)
{
    struct sim_watcher *watcher = context;
    struct sim_host *host = watcher->host;

    if (host->node == NULL || host->is_stopping) {
        watcher_again(watcher);
    } else if (watcher->is_modern) {
        watcher_listen(watcher);
    } else if (watcher->session[0] == '\0') {
        sim_http_ask(host,
                     &(struct sim_request){.path = watcher->path,
                                           .body = mn_span_str(watcher->is_asked
                                                                   ? SIM_INITIALIZE_OF(SIM_CAN_ALL)
                                                                   : SIM_INITIALIZE),
                                           .patience = PATIENCE,
                                           .is_steadfast = true,
                                           .on_end = watcher_initialized,
                                           .context = watcher});
    } else {
        watcher_listen(watcher);
        if (watcher->is_open) watcher_list(watcher); /* a new session knows nothing yet */
    }
    (void)sim;
}

static struct sim_watchers *watch_start(struct sim *sim, const char *path, bool is_asked)
{
    struct sim_watchers *watchers =
        mn_alloc(sizeof *watchers + sim->hosts_count * sizeof watchers->of[0]);

    for (uint32_t i = 0; i < sim->hosts_count; i++) {
        watchers->of[i] = (struct sim_watcher){.host = &sim->hosts[i],
                                               .path = path,
                                               .is_modern = rng_below(&sim->rng_work, 2),
                                               .is_asked = is_asked};
        watcher_again(&watchers->of[i]);
    }
    return watchers;
}

void sim_watch_start(struct sim *sim, const char *path)
{
    struct sim_watchers *watchers = watch_start(sim, path, false);

    watchers->before = sim->watchers;
    sim->watchers = watchers;
}

void sim_watch_start_asked(struct sim *sim)
{
    sim->asked_watchers = watch_start(sim, "/mcp", true);
}

static void watch_free(const struct sim *sim, struct sim_watchers *watchers)
{
    for (uint32_t i = 0; watchers != NULL && i < sim->hosts_count; i++)
        mn_buf_unref(watchers->of[i].list);
    mn_free(watchers);
}

void sim_watch_done(struct sim *sim)
{
    struct sim_watchers *watchers;

    while ((watchers = sim->watchers) != NULL) {
        sim->watchers = watchers->before;
        watch_free(sim, watchers);
    }
    watch_free(sim, sim->asked_watchers);
    sim->asked_watchers = NULL;
}

static struct mn_span watch_list(const struct sim_watchers *watchers, uint32_t host)
{
    const struct mn_buf *list = watchers->of[host].list;
    return list == NULL ? mn_span(NULL, 0) : mn_buf_span(list);
}

struct mn_span sim_watch_list(const struct sim *sim, uint32_t host)
{
    return watch_list(sim->watchers, host);
}

struct mn_span sim_watch_asked_list(const struct sim *sim, uint32_t host)
{
    return watch_list(sim->asked_watchers, host);
}

uint64_t sim_watch_told(const struct sim *sim)
{
    uint64_t told = 0;

    for (uint32_t i = 0; i < sim->hosts_count; i++)
        told += sim->watchers->of[i].told;
    return told;
}
